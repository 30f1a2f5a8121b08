/* What stands in for an analog front end: a model is attached to the processor's pins. */
#ifndef CHIP_H
#define CHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "sim_avr.h"

/* The signal at this moment of simulated time. */
int32_t signal_now(const avr_t *avr);

/* Input from outside to a pin of the processor, for instance set_pin(avr, 'D', 2, 0). */
void set_pin(avr_t *avr, char port, int pin, int level);

/* Electrodes that are off, as bits; 0 while all are on. */
extern int electrodes_off;

/* A front end. `attach` connects it to the processor, once; `restart` follows every reset, which makes the
 * processor forget the timers of its surroundings. */
typedef struct {
    const char *name;
    void (*attach)(avr_t *avr);
    void (*restart)(avr_t *avr);
    void (*electrodes_changed)(avr_t *avr); /* NULL: it looks by itself */
} chip;

/* The signal, in millivolts, at A0; LO+ and LO- at D10 and D11. */
extern const chip ad8232;

/* The signal, in counts, on channel 2, its negative on channel 1.
 * CS at D10, DRDY at D2, PWDN/RESET at D4, START at D5. */
extern const chip ads1292r;

/* The signal, in counts. CS at D10, INTB at D2. */
extern const chip max30003;

#endif
