#include "avr_adc.h"
#include "chip.h"
#include "sim_interrupts.h"
#include "sim_io.h"

enum { ADCSRB = 0x7B, TIFR1 = 0x36, OCF1B = 1 << 2, TIMER1_COMPB = 12, ADTS_TIMER1_COMPB = 5 };

/* The converter looks at its pin: give it the voltage of now. */
static void on_conversion(avr_irq_t *irq, uint32_t value, void *param) {
    avr_t *avr = param;
    (void)irq;
    (void)value;
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0), (uint32_t)signal_now(avr));
}

/* simavr knows the trigger, but does not connect it to the timer. It is the flag's rising edge: a sketch
 * that does not clear the flag gets one conversion. */
static void on_compare(avr_irq_t *irq, uint32_t value, void *param) {
    static int was;
    avr_t *avr = param;
    (void)irq;
    if (value && !was && (avr->data[ADCSRB] & 7) == ADTS_TIMER1_COMPB) {
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_IN_TRIGGER), 1);
    }
    was = value;
}

static void attach(avr_t *avr) {
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_OUT_TRIGGER), on_conversion, avr);
    avr_irq_register_notify(avr_get_interrupt_irq(avr, TIMER1_COMPB), on_compare, avr);
}

/* Outputs LO+ (D10) and LO- (D11). */
static void show_electrodes(avr_t *avr) {
    set_pin(avr, 'B', 2, electrodes_off & 1);
    set_pin(avr, 'B', 3, electrodes_off >> 1 & 1);
}

const chip ad8232 = {"ad8232", attach, show_electrodes, show_electrodes};
