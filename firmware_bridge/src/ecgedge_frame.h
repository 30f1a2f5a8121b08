/* Frames of the board, built and encoded in place: no second buffer (PROTOCOL.md 1, 3 and 4).
 *
 * A frame buffer holds one byte that COBS needs, the frame, its checksum and the delimiter:
 *
 *   [0] code   [1] type   [2] version   ... fields ...   crc crc   0x00
 */
#ifndef ECGEDGE_FRAME_H
#define ECGEDGE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ECGEDGE_PROTOCOL 1
#define ECGEDGE_MAX_LEADS 16
#define ECGEDGE_MAX_NAME 32
#define ECGEDGE_MAX_VALUES 237 /* bytes of values in the longest data frame (4.8) */

/* Bytes of a buffer for a data frame: `samples` of `leads` leads in `width` bytes each (2 or 3). */
#define ECGEDGE_DATA_BYTES(samples, leads, width) (19 + (samples) * (leads) * (width))

/* Bytes of a buffer for any hello frame. */
#define ECGEDGE_HELLO_BYTES (28 + ECGEDGE_MAX_NAME)

enum {
    ECGEDGE_STREAMING = 1, /* hello flag: data frames are being sent */
    ECGEDGE_LISTENS = 2    /* hello flag: commands are understood */
};

/* What a hello frame says (3). Sequences of members are copied as they stand: see the .c file. */
typedef struct {
    uint32_t rate_mhz;   /* millihertz, what the timer really does; 0 = unknown (3.4) */
    float scale;         /* microvolt at the electrodes per count, gain included; 0 = unknown (3.5) */
    uint8_t bits;        /* of the converter, 1 to 32; 0 = unknown */
    uint8_t leads;       /* 1 to 16 */
    uint8_t flags;       /* ECGEDGE_STREAMING, ECGEDGE_LISTENS */
    uint16_t boot;       /* differs from its value at the last start (3.7) */
    uint32_t next_index; /* index of the next sample */
    uint32_t time_us;    /* device time now */
    uint8_t name_bytes;  /* 0 to 32 */
    const char *name;    /* UTF-8 */
} ecgedge_hello;

/* What a data frame says of its samples (4). */
typedef struct {
    uint32_t index;   /* of the first sample (4.2) */
    uint32_t time_us; /* device time of the first sample (4.3) */
    uint16_t off;     /* bit k set where an electrode of lead k is off; bits from `leads` on are 0 (4.5) */
    uint8_t leads;    /* 1 to 16 */
    uint8_t width;    /* 2 or 3 bytes a value */
} ecgedge_data;

/* Checksum of `size` bytes (1.3): CRC-16, polynomial 0x1021, start 0xFFFF. Without a table. */
uint16_t ecgedge_crc16(const uint8_t *bytes, uint16_t size);

/* Write a hello frame, ready to be sent.
 *
 * frame: at least ECGEDGE_HELLO_BYTES.
 * Returns the bytes to send, delimiter included.
 */
uint16_t ecgedge_hello_encode(uint8_t *frame, const ecgedge_hello *hello);

/* Begin a data frame without samples.
 *
 * frame: ECGEDGE_DATA_BYTES for the samples that will be added. At most ECGEDGE_MAX_VALUES bytes of values
 *     may be added in all.
 */
void ecgedge_data_begin(uint8_t *frame, const ecgedge_data *data);

/* Add one sample: `leads` values, of each the low `width` bytes. Nothing is checked: see above.
 *
 * Returns how many samples the frame now has.
 */
uint8_t ecgedge_data_add(uint8_t *frame, const int32_t *values);

/* End a data frame of one sample or more: checksum, COBS, delimiter. It can then only be sent.
 *
 * Returns the bytes to send, delimiter included.
 */
uint16_t ecgedge_data_end(uint8_t *frame);

#ifdef __cplusplus
}
#endif

#endif
