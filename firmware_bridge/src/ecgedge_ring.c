#include "ecgedge_ring.h"

#include <stddef.h>

enum { EMPTY, FILLING, FULL }; /* the slot at `head`; FULL waits for a free slot behind it */

/* What was written before must be there before what is written after. One core needs to hold back only the
 * compiler; several cores, as the ESP32's, each other too. */
#ifndef ECGEDGE_BARRIER
#if defined(__AVR__)
#define ECGEDGE_BARRIER() __asm__ volatile("" ::: "memory")
#elif defined(__GNUC__)
#define ECGEDGE_BARRIER() __sync_synchronize()
#else
#error "define ECGEDGE_BARRIER() for this compiler: a memory barrier"
#endif
#endif

static uint8_t *slot(const ecgedge_ring *ring, uint8_t number) {
    return ring->memory + number * ring->slot_bytes;
}

static uint8_t after(const ecgedge_ring *ring, uint8_t number) {
    number++;
    return number == ring->slots ? 0 : number;
}

void ecgedge_ring_put(ecgedge_ring *ring, const int32_t *values, uint16_t off, uint32_t time_us) {
    ecgedge_data *data = &ring->data;
    bool streaming = ring->streaming;
    uint32_t index = ring->next_index;
    uint8_t state = ring->state;
    ring->next_index = index + 1;
    if (state == FILLING && (ring->count == ring->samples || off != data->off || !streaming)) {
        state = FULL;
    }
    if (state == FULL) {
        uint8_t next = after(ring, ring->head);
        if (next != ring->tail) {
            ECGEDGE_BARRIER();
            ring->head = next;
            state = EMPTY;
        }
    }
    if (streaming && state != FULL) {
        uint8_t *frame = slot(ring, ring->head);
        if (state == EMPTY) {
            data->index = index;
            data->time_us = time_us;
            data->off = off;
            ecgedge_data_begin(frame, data);
            state = FILLING;
        }
        ring->count = ecgedge_data_add(frame, values);
    }
    ring->state = state;
}

uint8_t *ecgedge_ring_ready(ecgedge_ring *ring) {
    uint8_t *frame = ring->tail == ring->head ? NULL : slot(ring, ring->tail);
    ECGEDGE_BARRIER();
    return frame;
}

void ecgedge_ring_release(ecgedge_ring *ring) {
    ECGEDGE_BARRIER();
    ring->tail = after(ring, ring->tail);
}

void ecgedge_ring_stream(ecgedge_ring *ring, bool streaming) { ring->streaming = streaming; }

bool ecgedge_ring_rests(const ecgedge_ring *ring) { return ring->state == EMPTY && ring->tail == ring->head; }

uint32_t ecgedge_ring_index(const ecgedge_ring *ring) {
    /* An 8-bit processor reads the four bytes one by one: an interrupt in between would tear them. */
    uint32_t index;
    do {
        index = ring->next_index;
    } while (index != ring->next_index);
    return index;
}
