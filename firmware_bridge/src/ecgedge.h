/* ecgedge frames for any board with an ECG front end: one include for sketches.
 *
 * Portable C99: no malloc, no Arduino.h, no string.h, no floating-point arithmetic. What the bytes mean is
 * written in PROTOCOL.md, whose clause numbers stand in the comments.
 *
 *   interrupt                          loop
 *   ecgedge_ring_put -> frame slots -> ecgedge_stream_poll -> send()
 *                       host's bytes -> ecgedge_stream_receive
 */
#ifndef ECGEDGE_H
#define ECGEDGE_H

#define ECGEDGE_VERSION "0.1.0" /* of this library; that of the protocol is ECGEDGE_PROTOCOL */

#include "ecgedge_command.h"
#include "ecgedge_filter.h"
#include "ecgedge_frame.h"
#include "ecgedge_ring.h"
#include "ecgedge_stream.h"

#endif
