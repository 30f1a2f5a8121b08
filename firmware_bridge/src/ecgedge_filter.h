/* Optional: band-pass and mains notch in 32-bit integers, for boards that show or judge the signal themselves.
 *
 * ecgedge on the host filters by itself and wants samples as they were measured.
 */
#ifndef ECGEDGE_FILTER_H
#define ECGEDGE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One section of second order, coefficients in 1/16384:
 * y = b0 (x + x2) + b1 x1 - a1 y1 - a2 y2; what rounding cuts off is carried on. */
typedef struct {
    int16_t b0, b1, a1, a2;
    int16_t x1, x2, y1, y2;
    int16_t rest;
} ecgedge_biquad;

/* Everything here belongs to the functions below. */
typedef struct {
    int32_t mean; /* slow mean of the input, times 2^shift */
    uint8_t shift;
    bool begun;
    bool notched;
    ecgedge_biquad lowpass;
    ecgedge_biquad notch;
} ecgedge_filter;

/* Choose a filter and clear its memory.
 *
 * High-pass: first order, 0.5 to 0.8 Hz. Low-pass: Butterworth, second order, 40 Hz. Notch: quality 5.
 *
 * rate_hz: 125, 128, 250, 256, 500 or 512.
 * mains_hz: 50 or 60; 0 for no notch.
 * Differs from the exact filter by less than 5 counts, by less than 16 for 60 Hz at 125 or 128 Hz.
 * Returns false, and leaves the filter as it was, for any other number.
 */
bool ecgedge_filter_begin(ecgedge_filter *filter, uint16_t rate_hz, uint8_t mains_hz);

/* Filter one sample, -8192 to 8191 counts; the result is centred on 0 and limited to +-16383.
 * The first sample is taken for the mean, so that no step comes out at the start.
 */
int16_t ecgedge_filter_step(ecgedge_filter *filter, int16_t sample);

#ifdef __cplusplus
}
#endif

#endif
