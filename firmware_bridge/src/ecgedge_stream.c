#include "ecgedge_stream.h"

#include <stddef.h>

enum { HELLO_EVERY = 76 }; /* times 65.536 ms: about 5 s (3.2), in one byte */

static void say_hello(ecgedge_stream *stream, uint32_t now_us) {
    uint8_t bytes[1 + ECGEDGE_HELLO_BYTES];
    ecgedge_hello *hello = &stream->hello;
    hello->flags = (uint8_t)(ECGEDGE_LISTENS | (stream->streaming * ECGEDGE_STREAMING));
    hello->next_index = ecgedge_ring_index(stream->ring);
    hello->time_us = now_us;
    bytes[0] = 0; /* ends whatever the host has heard so far, a bootloader for instance (3.1) */
    stream->send(bytes, (uint16_t)(1 + ecgedge_hello_encode(bytes + 1, hello)));
}

/* Of more than its byte can count, the rest goes unanswered: no wrap may lose them all. */
static void owe_hello(ecgedge_stream *stream) {
    if (stream->owed < UINT8_MAX) {
        stream->owed++;
    }
}

void ecgedge_stream_receive(ecgedge_stream *stream, uint8_t byte) {
    uint8_t command = ecgedge_parse(&stream->parser, byte, &stream->new_rate);
    if (command == ECGEDGE_NOTHING) {
        return;
    }
    owe_hello(stream);
    if (command == ECGEDGE_START || command == ECGEDGE_STOP) {
        stream->streaming = command == ECGEDGE_START;
    }
    if (command >= ECGEDGE_STOP) {
        /* What was sampled before a stop or another rate is sent before the hello that tells of it. */
        ecgedge_ring_stream(stream->ring, false);
    }
}

void ecgedge_stream_poll(ecgedge_stream *stream, uint32_t now_us) {
    ecgedge_ring *ring = stream->ring;
    uint8_t *frame;
    while ((frame = ecgedge_ring_ready(ring)) != NULL) {
        stream->send(frame, ecgedge_data_end(frame));
        ecgedge_ring_release(ring);
    }
    if (!ring->streaming && !ecgedge_ring_rests(ring)) {
        return;
    }
    if (stream->new_rate) {
        stream->hello.rate_mhz = stream->set_rate(stream->new_rate);
        stream->new_rate = 0;
    }
    if ((uint8_t)((uint8_t)(now_us >> 16) - stream->hello_at) >= HELLO_EVERY) {
        stream->hello_at = (uint8_t)(now_us >> 16);
        owe_hello(stream);
    }
    for (; stream->owed; stream->owed--) {
        say_hello(stream, now_us);
    }
    ecgedge_ring_stream(ring, stream->streaming);
}
