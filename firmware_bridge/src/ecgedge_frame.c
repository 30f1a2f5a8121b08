#include "ecgedge_frame.h"

#include <stddef.h>

enum { HELLO = 0x01, DATA = 0x02 };

/* Where things stand in a data frame's buffer: the field's offset in PROTOCOL.md 4, and one for COBS. */
enum { AT_COUNT = 11, AT_LEADS = 12, AT_WIDTH = 13, AT_OFF = 14, AT_VALUES = 16 };

/* Numbers are copied as they lie in memory, the members of a struct several at once: that is a third of the
 * code of taking them apart. It needs the byte order of the wire and members without padding between. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this library is for processors whose low byte comes first"
#endif
typedef char members_follow_each_other
    [sizeof(float) == 4 && offsetof(ecgedge_hello, flags) == 10 && offsetof(ecgedge_data, time_us) == 4 &&
             offsetof(ecgedge_hello, name_bytes) - offsetof(ecgedge_hello, next_index) == 8
         ? 1
         : -1];

static uint8_t *put(uint8_t *at, const void *from, uint8_t bytes) {
    const uint8_t *byte = (const uint8_t *)from;
    while (bytes--) {
        *at++ = *byte++;
    }
    return at;
}

static uint8_t *head(uint8_t *frame, uint8_t type) {
    frame[1] = type;
    frame[2] = ECGEDGE_PROTOCOL;
    return frame + 3;
}

uint16_t ecgedge_crc16(const uint8_t *bytes, uint16_t size) {
    uint16_t crc = 0xFFFF;
    while (size--) {
        /* Eight steps of the shift register at once, for the feedback x^16 = x^12 + x^5 + 1. */
        uint16_t x = (uint16_t)(crc >> 8) ^ *bytes++;
        x ^= x >> 4;
        crc = (uint16_t)(crc << 8) ^ (uint16_t)(x << 12) ^ (uint16_t)(x << 5) ^ x;
    }
    return crc;
}

/* Checksum behind the frame that ends before `end`; COBS in place; delimiter. Returns the bytes to send.
 *
 * Going backwards, each zero becomes the distance to the next one, and what is left at the front is the
 * distance to the first. At most 254 bytes lie between, so that one code is enough (1.5).
 */
static uint16_t seal(uint8_t *frame, uint8_t *end) {
    uint16_t crc = ecgedge_crc16(frame + 1, (uint16_t)(end - frame - 1));
    uint8_t *zero = put(end, &crc, 2);
    uint16_t size = (uint16_t)(zero - frame + 1);
    uint8_t *at = zero;
    *zero = 0;
    frame[0] = 0;
    do {
        if (*--at == 0) {
            *at = (uint8_t)(zero - at);
            zero = at;
        }
    } while (at != frame);
    return size;
}

uint16_t ecgedge_hello_encode(uint8_t *frame, const ecgedge_hello *hello) {
    uint8_t *at = put(head(frame, HELLO), &hello->rate_mhz, 11);
    at = put(at, &hello->boot, 2);
    at = put(at, &hello->next_index, 9);
    return seal(frame, put(at, hello->name, hello->name_bytes));
}

/* Until COBS needs it, the first byte counts the bytes of values. */

void ecgedge_data_begin(uint8_t *frame, const ecgedge_data *data) {
    put(head(frame, DATA), &data->index, 8);
    frame[0] = 0;
    frame[AT_COUNT] = 0;
    frame[AT_LEADS] = data->leads;
    frame[AT_WIDTH] = data->width;
    put(frame + AT_OFF, &data->off, 2);
}

uint8_t ecgedge_data_add(uint8_t *frame, const int32_t *values) {
    uint8_t *start = frame + AT_VALUES;
    uint8_t *at = start + frame[0];
    uint8_t lead;
    for (lead = frame[AT_LEADS]; lead > 0; lead--) {
        at = put(at, values++, frame[AT_WIDTH]);
    }
    frame[0] = (uint8_t)(at - start);
    return ++frame[AT_COUNT];
}

uint16_t ecgedge_data_end(uint8_t *frame) { return seal(frame, frame + AT_VALUES + frame[0]); }
