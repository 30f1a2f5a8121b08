#include "ecgedge_filter.h"

enum { UNIT = 14, LIMIT = 16383 }; /* within the limit no sum of products leaves 32 bits */

/* b0, a1 and a2 of a low-pass and of notches at 50 and 60 Hz; the bilinear transform gives the rest:
 * b1 = 2 b0 in the low-pass, b1 = a1 in a notch. tests/test_firmware_filter.py designs them anew. */
static const struct {
    uint16_t rate_hz;
    uint8_t shift;
    int16_t lowpass[3];
    int16_t notch[2][3];
} TABLE[] = {
    {125, 5, {7123, 8508, 3599}, {{13037, 21094, 9689}, {12497, 24796, 8609}}},
    {128, 5, {6851, 7585, 3436}, {{13102, 20256, 9820}, {12571, 24658, 8757}}},
    {250, 6, {2381, -10994, 4134}, {{14546, -8990, 12709}, {14223, -1786, 12062}}},
    {256, 6, {2293, -11465, 4252}, {{14585, -9827, 12786}, {14268, -2797, 12151}}},
    {500, 7, {756, -21419, 8058}, {{15414, -24941, 14444}, {15233, -22209, 14083}}},
    {512, 7, {725, -21674, 8192}, {{15436, -25240, 14487}, {15258, -22612, 14133}}},
};

static ecgedge_biquad section(const int16_t *numbers, int16_t b1) {
    ecgedge_biquad made = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    made.b0 = numbers[0];
    made.b1 = b1;
    made.a1 = numbers[1];
    made.a2 = numbers[2];
    return made;
}

bool ecgedge_filter_begin(ecgedge_filter *filter, uint16_t rate_hz, uint8_t mains_hz) {
    uint8_t row;
    if (mains_hz != 0 && mains_hz != 50 && mains_hz != 60) {
        return false;
    }
    for (row = 0; row < sizeof TABLE / sizeof TABLE[0]; row++) {
        if (TABLE[row].rate_hz == rate_hz) {
            const int16_t *notch = TABLE[row].notch[mains_hz == 60];
            filter->shift = TABLE[row].shift;
            filter->begun = false;
            filter->notched = mains_hz != 0;
            filter->lowpass = section(TABLE[row].lowpass, (int16_t)(2 * TABLE[row].lowpass[0]));
            filter->notch = section(notch, notch[1]);
            return true;
        }
    }
    return false;
}

static int16_t limited(int32_t value) {
    return (int16_t)(value > LIMIT ? LIMIT : value < -LIMIT ? -LIMIT : value);
}

static int16_t step(ecgedge_biquad *s, int16_t x) {
    int32_t sum = s->rest;
    int16_t y;
    sum += (int32_t)s->b0 * (x + s->x2);
    sum += (int32_t)s->b1 * s->x1;
    sum -= (int32_t)s->a1 * s->y1;
    sum -= (int32_t)s->a2 * s->y2;
    s->rest = (int16_t)(sum & ((1 << UNIT) - 1));
    y = limited(sum >> UNIT); /* a shift of negative numbers that rounds down, as in every gcc */
    s->x2 = s->x1;
    s->x1 = x;
    s->y2 = s->y1;
    s->y1 = y;
    return y;
}

int16_t ecgedge_filter_step(ecgedge_filter *filter, int16_t sample) {
    int32_t scaled = (int32_t)sample * ((int32_t)1 << filter->shift);
    int16_t out;
    if (!filter->begun) {
        filter->mean = scaled;
        filter->begun = true;
    }
    out = limited((scaled - filter->mean) >> filter->shift);
    filter->mean += out;
    out = step(&filter->lowpass, out);
    return filter->notched ? step(&filter->notch, out) : out;
}
