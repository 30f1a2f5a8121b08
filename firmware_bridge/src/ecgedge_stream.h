/* The board's side of the conversation: hello frames, data frames, answers (PROTOCOL.md 3 to 5). */
#ifndef ECGEDGE_STREAM_H
#define ECGEDGE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "ecgedge_command.h"
#include "ecgedge_frame.h"
#include "ecgedge_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Send bytes to the host: all of them, waiting where there is no room. */
typedef void (*ecgedge_send)(const uint8_t *bytes, uint16_t size);

/* Sample at this rate in millihertz, or at the nearest that the board can do.
 *
 * Called from ecgedge_stream_poll while nothing is being streamed. Sampling may pause, the index must not go
 * back. Returns the rate in millihertz that the board now does (3.4), which may be the one it did before.
 */
typedef uint32_t (*ecgedge_set_rate)(uint32_t rate_mhz);

typedef struct {
    ecgedge_hello hello; /* what the board says of itself; flags, index and time are filled in */
    ecgedge_ring *ring;
    ecgedge_send send;
    ecgedge_set_rate set_rate;
    /* What follows belongs to the functions below. */
    ecgedge_parser parser;
    uint32_t new_rate; /* asked for and not yet set, millihertz; 0 = none */
    uint8_t hello_at;  /* when a hello was last sent unasked, in 65.536 ms */
    uint8_t owed;      /* hellos to be sent: the first one, and answers (5.3); 255 at most */
    bool streaming;    /* what the host wants */
} ecgedge_stream;

/* The initial value of a stream.
 *
 * ring, send, set_rate: see above. rate_mhz, scale, bits, leads: see ecgedge_hello.
 * name: a literal of at most 32 bytes, for people.
 */
#define ECGEDGE_STREAM(ring, send, set_rate, rate_mhz, scale, bits, leads, name)                               \
    {                                                                                                          \
        {rate_mhz, scale, bits, leads, 0, 0, 0, 0, sizeof(name) - 1, name}, ring, send, set_rate, {{0}, 0}, 0, \
            0, 1, true                                                                                         \
    }

/* Take a byte from the host. It is answered by the next ecgedge_stream_poll. */
void ecgedge_stream_receive(ecgedge_stream *stream, uint8_t byte);

/* Send what there is to send: frames that are full, hellos that are due.
 *
 * Call it once before sampling begins, which sends the first hello (3.1; data frames follow without being
 * asked, 5.1), then at least once a frame. Needs some 100 bytes of stack.
 *
 * now_us: device time.
 */
void ecgedge_stream_poll(ecgedge_stream *stream, uint32_t now_us);

#ifdef __cplusplus
}
#endif

#endif
