/* From the interrupt to the loop: a ring of data frames under construction.
 *
 * The interrupt (or sampling task) writes samples straight into the frame that will be sent and hands it over
 * when it is full; the loop encodes it where it stands. Each variable has one writer, so that neither side
 * locks or waits. When the loop is late, samples are dropped, and the hole in the index says how many (4.2).
 */
#ifndef ECGEDGE_RING_H
#define ECGEDGE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ecgedge_frame.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ECGEDGE_FIRST_INDEX
#define ECGEDGE_FIRST_INDEX 0 /* tests of the wrap begin elsewhere */
#endif

/* Everything here belongs to the functions below. */
typedef struct {
    uint8_t *memory;
    uint16_t slot_bytes;
    uint8_t slots;
    uint8_t samples;
    /* The interrupt's. */
    ecgedge_data data; /* head of the frame being filled */
    uint8_t count;     /* samples in it */
    volatile uint8_t state;
    volatile uint8_t head; /* slot being filled */
    volatile uint32_t next_index;
    /* The loop's. */
    volatile uint8_t tail; /* oldest slot handed over, where it is not `head` */
    volatile bool streaming;
} ecgedge_ring;

/* Define a ring `name`, streaming, without samples, and its memory.
 *
 * slots: frames, 2 to 255. While one is sent, slots - 1 are there to be filled.
 * samples: in a full frame, at most ECGEDGE_MAX_VALUES / (leads * width). 25 span 0.1 s at 250 Hz (4.7).
 * leads: 1 to 16. width: 2 or 3 bytes a value.
 */
#define ECGEDGE_RING(name, slots, samples, leads, width)                                              \
    static uint8_t name##_memory[(slots) * ECGEDGE_DATA_BYTES(samples, leads, width)];                \
    static ecgedge_ring name = {name##_memory, ECGEDGE_DATA_BYTES(samples, leads, width),             \
                                slots,         samples,                                               \
                                {0, 0, 0, leads, width}, 0, 0, 0, ECGEDGE_FIRST_INDEX, 0, true}

/* Interrupt: one sampling instant. Must be called at every one, streaming or not.
 *
 * values: of all leads; they must fit the width. Unsigned converters give their counts as they are (4.6).
 * off: bit k set where an electrode of lead k is off; a change ends the frame (4.5).
 * time_us: device time of this sample.
 */
void ecgedge_ring_put(ecgedge_ring *ring, const int32_t *values, uint16_t off, uint32_t time_us);

/* Loop: the oldest frame that was handed over, begun and not ended; NULL where there is none. */
uint8_t *ecgedge_ring_ready(ecgedge_ring *ring);

/* Loop: give back the frame that ecgedge_ring_ready returned. */
void ecgedge_ring_release(ecgedge_ring *ring);

/* Loop: stream from the next sample on, or stop with it. Sampling and index go on. */
void ecgedge_ring_stream(ecgedge_ring *ring, bool streaming);

/* Loop: whether, after a stop, everything was handed over and released. */
bool ecgedge_ring_rests(const ecgedge_ring *ring);

/* Loop: index of the next sample. */
uint32_t ecgedge_ring_index(const ecgedge_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
