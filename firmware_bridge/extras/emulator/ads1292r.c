/* ADS1292R: registers, continuous reading (RDATAC), DRDY and the 72 bits of a sample; after the datasheet. */
#include <string.h>

#include "avr_ioport.h"
#include "avr_spi.h"
#include "chip.h"
#include "sim_io.h"

enum { CS_PIN = 2, DRDY_PIN = 2, RESET_PIN = 4, START_PIN = 5, CLOCK_HZ = 16000000, SIZE = 9 };
enum { WAKEUP = 0x02, RESET = 0x06, START = 0x08, STOP = 0x0A, RDATAC = 0x10, SDATAC = 0x11, RREG = 0x20, WREG = 0x40 };
enum { CONFIG1 = 1, LOFF_SENS = 7, REGISTERS = 12 };

static uint8_t registers[REGISTERS];
static bool selected, converting, continuous;
static uint8_t sample[SIZE]; /* what is being shifted out */
static int position;         /* next byte of it */
static int command, at, left;  /* register access: command, register, registers still to come */

static void defaults(void) {
    static const uint8_t AFTER_RESET[REGISTERS] = {0x73, 0x02, 0x80, 0x10, 0, 0, 0, 0, 0, 0, 0x02, 0x0C};
    memcpy(registers, AFTER_RESET, sizeof registers);
    continuous = true;
    converting = false;
    command = left = 0;
}

static avr_cycle_count_t period(void) {
    static const int RATES[8] = {125, 250, 500, 1000, 2000, 4000, 8000, 8000};
    return (avr_cycle_count_t)(CLOCK_HZ / RATES[registers[CONFIG1] & 7]);
}

static uint8_t *put24(uint8_t *to, int32_t value) {
    to[0] = (uint8_t)(value >> 16);
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)value;
    return to + 3;
}

/* Status: 1100, then RLD, IN2N, IN2P, IN1N, IN1P off, where their comparators are on. */
static void convert(avr_t *avr) {
    int32_t value = signal_now(avr);
    int32_t off = electrodes_off ? registers[LOFF_SENS] & 0x0F : 0;
    put24(put24(put24(sample, 0xC00000 | off << 15), -value), value);
    position = 0;
}

static avr_cycle_count_t on_time(avr_t *avr, avr_cycle_count_t when, void *param) {
    (void)param;
    if (converting) {
        convert(avr);
        set_pin(avr, 'D', DRDY_PIN, 1);
        set_pin(avr, 'D', DRDY_PIN, 0);
    }
    return when + period();
}

static void obey(uint8_t byte) {
    if ((byte & 0xE0) == RREG || (byte & 0xE0) == WREG) {
        if (!continuous) { /* registers are out of reach otherwise */
            command = byte & 0xE0;
            at = byte & 0x1F;
            left = -1; /* their number comes next */
        }
    } else if (byte == RESET) {
        defaults();
    } else if (byte == START || byte == STOP) {
        converting = byte == START;
    } else if (byte == RDATAC || byte == SDATAC) {
        continuous = byte == RDATAC;
    }
}

static uint8_t access(uint8_t byte) {
    uint8_t out = 0;
    if (left < 0) {
        left = (byte & 0x1F) + 1;
        return 0;
    }
    if (at < REGISTERS) {
        out = registers[at];
        if (command == WREG && at > 0) {
            registers[at] = byte;
        }
    }
    at++;
    if (--left == 0) {
        command = 0;
    }
    return out;
}

static void on_spi(avr_irq_t *irq, uint32_t value, void *param) {
    avr_t *avr = param;
    uint8_t byte = (uint8_t)value;
    uint8_t answer = 0;
    (void)irq;
    if (!selected) {
        return;
    }
    if (command) {
        answer = access(byte);
    } else {
        if (continuous && position < SIZE) {
            answer = sample[position++];
        }
        if (byte) {
            obey(byte);
        }
    }
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_INPUT), answer);
}

static void on_select(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)param;
    selected = !value;
    command = 0;
}

static void on_start(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)param;
    converting = value;
}

static void on_reset(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)param;
    if (!value) {
        defaults();
    }
}

static void attach(avr_t *avr) {
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_OUTPUT), on_spi, avr);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), CS_PIN), on_select, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), START_PIN), on_start, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), RESET_PIN), on_reset, NULL);
}

static void restart(avr_t *avr) {
    defaults();
    selected = false;
    set_pin(avr, 'D', DRDY_PIN, 1);
    avr_cycle_timer_register(avr, period(), on_time, NULL);
}

const chip ads1292r = {"ads1292r", attach, restart, NULL};
