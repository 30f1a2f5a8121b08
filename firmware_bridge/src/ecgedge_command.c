#include "ecgedge_command.h"

#include "ecgedge_frame.h"

enum { PLAIN = 5, WITH_RATE = 9 }; /* sizes of the commands of this version */

/* Undo COBS in place: zeros come back, the code in front stays. Returns whether it was COBS. */
static bool decode(uint8_t *bytes, uint8_t size) {
    uint8_t at = 0;
    while (at < size) {
        uint8_t code = bytes[at];
        bytes[at] = 0;
        if (code > (uint8_t)(size - at)) {
            return false;
        }
        at = (uint8_t)(at + code);
    }
    return true;
}

static uint8_t read(uint8_t *bytes, uint8_t size, uint32_t *rate_mhz) {
    uint32_t rate = 0;
    uint8_t kind;
    const uint8_t *at;
    /* A code, type, version, perhaps a rate, and the checksum, low byte first. */
    if ((size != PLAIN && size != WITH_RATE) || !decode(bytes, size) || bytes[2] != ECGEDGE_PROTOCOL) {
        return ECGEDGE_NOTHING;
    }
    at = bytes + size - 2;
    if (ecgedge_crc16(bytes + 1, (uint16_t)(size - 3)) != (uint16_t)(at[0] | at[1] << 8)) {
        return ECGEDGE_NOTHING;
    }
    kind = bytes[1];
    if (size == PLAIN) {
        return kind >= ECGEDGE_ASK_HELLO && kind <= ECGEDGE_STOP ? kind : ECGEDGE_NOTHING;
    }
    while (at != bytes + 3) {
        rate = rate << 8 | *--at;
    }
    if (kind != ECGEDGE_RATE || rate == 0) {
        return ECGEDGE_NOTHING;
    }
    *rate_mhz = rate;
    return ECGEDGE_RATE;
}

uint8_t ecgedge_parse(ecgedge_parser *parser, uint8_t byte, uint32_t *rate_mhz) {
    uint8_t size = parser->size;
    if (byte == 0) {
        parser->size = 0;
        return size <= ECGEDGE_COMMAND_BYTES ? read(parser->bytes, size, rate_mhz) : ECGEDGE_NOTHING;
    }
    if (size < ECGEDGE_COMMAND_BYTES) {
        parser->bytes[size] = byte;
    }
    if (size <= ECGEDGE_COMMAND_BYTES) {
        parser->size = (uint8_t)(size + 1);
    }
    return ECGEDGE_NOTHING;
}
