/* MAX30003: registers, the FIFO of ECG samples with its tags, INTB, leads-off bits; after the datasheet. */
#include <string.h>

#include "avr_ioport.h"
#include "avr_spi.h"
#include "chip.h"
#include "sim_io.h"

enum { CS_PIN = 2, INTB_PIN = 2, CLOCK_HZ = 16000000, DEPTH = 32 };
enum {
    STATUS = 0x01,
    EN_INT = 0x02,
    MNGR_INT = 0x04,
    SW_RST = 0x08,
    SYNCH = 0x09,
    FIFO_RST = 0x0A,
    INFO = 0x0F,
    CNFG_GEN = 0x10,
    CNFG_EMUX = 0x14,
    CNFG_ECG = 0x15,
    ECG_FIFO = 0x21,
    REGISTERS = 0x80
};
enum { EINT = 1 << 23, EOVF = 1 << 22, DCLOFFINT = 1 << 20, EN_ECG = 1 << 19, DCLOFF_ON = 1 << 12 };
enum { VALID = 0, LAST = 2, NONE = 6, OVERFLOW = 7 }; /* ETAG */

static uint32_t registers[REGISTERS];
static int32_t fifo[DEPTH];
static int oldest, held;
static bool overflown, selected;
static int count;        /* bytes of this access so far */
static uint8_t address;  /* with the read bit */
static uint32_t word;    /* being shifted out, or in */

static void defaults(void) {
    memset(registers, 0, sizeof registers);
    registers[INFO] = 0x500000;
    registers[EN_INT] = 3;
    registers[MNGR_INT] = 0x7B0000;
    registers[CNFG_GEN] = 0x080004;
    registers[CNFG_EMUX] = 0x300000; /* both inputs disconnected */
    registers[CNFG_ECG] = 0x805000;
    oldest = held = 0;
    overflown = false;
}

static avr_cycle_count_t period(void) {
    int slow = (registers[CNFG_ECG] >> 22) & 3;
    return (avr_cycle_count_t)(CLOCK_HZ / (512 >> (slow > 2 ? 2 : slow)));
}

static uint32_t status(void) {
    uint32_t now = 0;
    if (held > (int)(registers[MNGR_INT] >> 19 & 31)) {
        now |= EINT;
    }
    if (overflown) {
        now |= EOVF;
    }
    if (electrodes_off && registers[CNFG_GEN] & DCLOFF_ON) {
        now |= DCLOFFINT | 0xF;
    }
    return now;
}

static void show_interrupt(avr_t *avr) {
    set_pin(avr, 'D', INTB_PIN, !(status() & registers[EN_INT] & 0xFFFF00));
}

static avr_cycle_count_t on_time(avr_t *avr, avr_cycle_count_t when, void *param) {
    (void)param;
    if (registers[CNFG_GEN] & EN_ECG) {
        bool connected = !(registers[CNFG_EMUX] & 0x300000);
        if (held == DEPTH) {
            overflown = true;
        } else {
            fifo[(oldest + held++) % DEPTH] = connected ? signal_now(avr) : 0;
        }
        show_interrupt(avr);
    }
    return when + period();
}

/* 18 bits of sample, 3 of ETAG, 3 of PTAG. */
static uint32_t pop(void) {
    uint32_t value;
    if (overflown) {
        return OVERFLOW << 3 | 7;
    }
    if (held == 0) {
        return NONE << 3 | 7;
    }
    value = (uint32_t)fifo[oldest] << 6 & 0xFFFFC0;
    oldest = (oldest + 1) % DEPTH;
    held--;
    return value | (held ? VALID : LAST) << 3 | 7;
}

static uint32_t look_up(uint8_t number) {
    return number == STATUS ? status() : number == ECG_FIFO ? pop() : registers[number];
}

static void write_register(uint8_t number, uint32_t value) {
    if (number == SW_RST) {
        defaults();
    } else if (number == FIFO_RST || number == SYNCH) {
        oldest = held = 0;
        overflown = false;
    } else if (number != STATUS && number != INFO && number < ECG_FIFO) {
        registers[number] = value;
    }
}

static void on_spi(avr_irq_t *irq, uint32_t value, void *param) {
    avr_t *avr = param;
    uint8_t byte = (uint8_t)value;
    uint8_t answer = 0;
    (void)irq;
    if (!selected) {
        return;
    }
    if (count == 0) {
        address = byte;
        word = address & 1 ? look_up(address >> 1) : 0;
    } else if (count <= 3) {
        answer = (uint8_t)(word >> 16);
        word = (word << 8 | (address & 1 ? 0 : byte)) & 0xFFFFFF;
        if (count == 3 && !(address & 1)) {
            write_register(address >> 1, word);
        }
    }
    count++;
    show_interrupt(avr);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_INPUT), answer);
}

static void on_select(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)param;
    selected = !value;
    count = 0;
}

static void attach(avr_t *avr) {
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_OUTPUT), on_spi, avr);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), CS_PIN), on_select, NULL);
}

static void restart(avr_t *avr) {
    defaults();
    selected = false;
    set_pin(avr, 'D', INTB_PIN, 1);
    avr_cycle_timer_register(avr, period(), on_time, NULL);
}

const chip max30003 = {"max30003", attach, restart, NULL};
