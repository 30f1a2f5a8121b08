/* The host's commands, byte by byte (PROTOCOL.md 5). */
#ifndef ECGEDGE_COMMAND_H
#define ECGEDGE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ECGEDGE_COMMAND_BYTES 9 /* longest command of this version as it comes, without its delimiter */

enum {
    ECGEDGE_NOTHING = 0, /* not yet a command, or something that a board ignores (5.4) */
    ECGEDGE_ASK_HELLO = 0x81,
    ECGEDGE_START = 0x82,
    ECGEDGE_STOP = 0x83,
    ECGEDGE_RATE = 0x84
};

/* Bytes since the last delimiter. All zero is the state to begin with. */
typedef struct {
    uint8_t bytes[ECGEDGE_COMMAND_BYTES];
    uint8_t size; /* more than fits: what comes is dropped up to the next delimiter */
} ecgedge_parser;

/* Take one byte from the host.
 *
 * rate_mhz: set where ECGEDGE_RATE is returned, to the rate that is asked for, in millihertz, never 0;
 *     otherwise left alone.
 * Returns the command that this byte completed, ECGEDGE_NOTHING for all else: commands that are damaged, too
 * long, unknown or of another version.
 */
uint8_t ecgedge_parse(ecgedge_parser *parser, uint8_t byte, uint32_t *rate_mhz);

#ifdef __cplusplus
}
#endif

#endif
