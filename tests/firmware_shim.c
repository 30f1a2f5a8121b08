/* Between Python's ctypes and the firmware library: whole frames and whole boards in one call each. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ecgedge.h"

uint16_t shim_data(uint8_t *frame, uint32_t index, uint32_t time_us, uint16_t off, uint8_t leads, uint8_t width,
                   uint8_t samples, const int32_t *values) {
    /* Memory of exactly the promised size, so that the sanitizer sees the first byte too many. */
    uint16_t size = ECGEDGE_DATA_BYTES(samples, leads, width);
    uint8_t *exact = malloc(size);
    ecgedge_data head = {index, time_us, off, leads, width};
    ecgedge_data_begin(exact, &head);
    for (uint8_t k = 0; k < samples; k++) {
        ecgedge_data_add(exact, values + k * leads);
    }
    size = ecgedge_data_end(exact);
    memcpy(frame, exact, size);
    free(exact);
    return size;
}

uint16_t shim_hello(uint8_t *frame, uint32_t rate_mhz, float scale, uint8_t bits, uint8_t leads, uint8_t flags,
                    uint16_t boot, uint32_t next_index, uint32_t time_us, const char *name, uint8_t name_bytes) {
    ecgedge_hello hello = {rate_mhz, scale, bits, leads, flags, boot, next_index, time_us, name_bytes, name};
    uint8_t *exact = malloc(28 + name_bytes);
    uint16_t size = ecgedge_hello_encode(exact, &hello);
    memcpy(frame, exact, size);
    free(exact);
    return size;
}

/* Parse bytes; kinds and rates of the commands found. Returns their number. */
uint32_t shim_parse(const uint8_t *bytes, uint32_t size, uint8_t *kinds, uint32_t *rates) {
    ecgedge_parser *parser = calloc(1, sizeof *parser);
    uint32_t found = 0;
    for (uint32_t k = 0; k < size; k++) {
        uint32_t rate = 0;
        uint8_t kind = ecgedge_parse(parser, bytes[k], &rate);
        if (kind != ECGEDGE_NOTHING) {
            kinds[found] = kind;
            rates[found++] = rate;
        }
    }
    free(parser);
    return found;
}

/* ------------------------------------------------------------------ a whole board */

static uint8_t *memory;
static ecgedge_ring ring;
static uint8_t *sent;
static uint32_t sent_size, sent_room;
static uint32_t rates_set;

static void send(const uint8_t *bytes, uint16_t size) {
    if (sent_size + size > sent_room) {
        sent_room = 2 * sent_room + size;
        sent = realloc(sent, sent_room);
    }
    memcpy(sent + sent_size, bytes, size);
    sent_size += size;
}

/* A board that can do 125, 250 and 500 Hz. */
static uint32_t set_rate(uint32_t wanted) {
    rates_set++;
    return wanted < 187500 ? 125000 : wanted < 375000 ? 250000 : 500000;
}

static ecgedge_stream stream;

void shim_board(uint8_t slots, uint8_t samples, uint8_t leads, uint8_t width, uint32_t first_index) {
    ECGEDGE_RING(fresh, 2, 1, 1, 2);
    ecgedge_stream begun = ECGEDGE_STREAM(&ring, send, set_rate, 250000, 2.5f, 16, 1, "shim");
    free(memory);
    memory = malloc((size_t)slots * ECGEDGE_DATA_BYTES(samples, leads, width));
    ring = fresh;
    ring.memory = memory;
    ring.slot_bytes = ECGEDGE_DATA_BYTES(samples, leads, width);
    ring.slots = slots;
    ring.samples = samples;
    ring.data.leads = leads;
    ring.data.width = width;
    ring.next_index = first_index;
    stream = begun;
    stream.hello.leads = leads;
    sent_size = rates_set = 0;
}

void shim_put(const int32_t *values, uint16_t off, uint32_t time_us) {
    ecgedge_ring_put(&ring, values, off, time_us);
}

void shim_poll(uint32_t now_us) { ecgedge_stream_poll(&stream, now_us); }

void shim_receive(const uint8_t *bytes, uint32_t size) {
    for (uint32_t k = 0; k < size; k++) {
        ecgedge_stream_receive(&stream, bytes[k]);
    }
}

/* What was sent since the last call; valid until the board sends again. */
const uint8_t *shim_sent(uint32_t *size) {
    *size = sent_size;
    sent_size = 0;
    return sent;
}

uint32_t shim_rates_set(void) { return rates_set; }

static uint32_t to_put;

static void *producer(void *unused) {
    for (uint32_t k = 0; k < to_put; k++) {
        int32_t value = (int32_t)(k % 30000);
        ecgedge_ring_put(&ring, &value, k / 1000 & 1, k);
    }
    return unused;
}

/* Samples from a thread of their own, sent by this one, without any lock. */
void shim_two_threads(uint32_t samples) {
    pthread_t thread;
    to_put = samples;
    pthread_create(&thread, NULL, producer, NULL);
    while (ecgedge_ring_index(&ring) != samples) {
        shim_poll(0);
    }
    pthread_join(thread, NULL);
    shim_poll(0);
}

void shim_filter(int32_t rate, int32_t mains, const int16_t *in, int16_t *out, uint32_t size, int32_t *known) {
    ecgedge_filter filter;
    *known = ecgedge_filter_begin(&filter, (uint16_t)rate, (uint8_t)mains);
    for (uint32_t k = 0; *known && k < size; k++) {
        out[k] = ecgedge_filter_step(&filter, in[k]);
    }
}
