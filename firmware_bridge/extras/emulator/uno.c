/* An emulated Arduino Uno with an ECG front end; its serial port is a pseudo-terminal.
 *
 * Runs a sketch's machine code on libsimavr. Simulated time rules: the signal, the events and the serial line
 * follow the processor's cycles, whatever the pace.
 */
#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "avr_ioport.h"
#include "avr_uart.h"
#include "chip.h"
#include "link.h"
#include "sim_elf.h"
#include "sim_io.h"

enum { CLOCK_HZ = 16000000, TICK = CLOCK_HZ / 1000, MAX_EVENTS = 64 };

static const char USAGE[] =
    "uno [options] PROGRAM.elf\n"
    "  --link PATH        name of the serial port (a symbolic link to a pseudo-terminal)\n"
    "  --output FILE      write what the board sends to a file instead\n"
    "  --chip NAME        ad8232, ads1292r or max30003 [ad8232]\n"
    "  --signal FILE      little-endian int32: millivolts (ad8232) or counts; the last one stays\n"
    "  --rate HZ          values of the signal a second [250]\n"
    "  --speed X          times real time; 0 for as fast as possible [1]\n"
    "  --seconds S        simulated time after which the processor stands still; a file's end [no end]\n"
    "  --wait             stand still until the host's first byte\n"
    "  --reset-on-open    reset when a program opens the port, as a real Uno does\n"
    "  --event T:off=1    electrodes off (or on again, 0) at T simulated seconds; in order of time. AD8232: 1 is\n"
    "                     its LO+, 2 its LO-, 3 both\n"
    "  --event T:reset=S  the button, held for S real seconds\n"
    "  --event T:unplug=S cable out at T, in again after S real seconds, with power-up\n";

typedef enum { OFF, RESET, UNPLUG } deed;

typedef struct {
    double at_s;
    deed what;
    double value;
} event;

static struct {
    const char *elf, *output;
    const chip *front_end;
    double speed, seconds, rate_hz;
    bool wait, reset_on_open;
    event events[MAX_EVENTS];
    int events_count;
} option = {.front_end = &ad8232, .speed = 1, .seconds = INFINITY, .rate_hz = 250};

static struct {
    int32_t *values;
    size_t count;
} signal_file;

static cable line = {.master = -1};
static volatile sig_atomic_t stop;
int electrodes_off;

int32_t signal_now(const avr_t *avr) {
    size_t index = (size_t)((double)avr->cycle / CLOCK_HZ * option.rate_hz);
    if (signal_file.count == 0) {
        return 0;
    }
    return signal_file.values[index < signal_file.count ? index : signal_file.count - 1];
}

void set_pin(avr_t *avr, char port, int pin, int level) {
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(port), pin), (uint32_t)level);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void nap(double seconds) {
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    nanosleep(&time, NULL);
}

static void on_serial(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    (void)param;
    if (!stop) {
        cable_write(&line, (uint8_t)value);
    }
}

static void no_sleep(avr_t *avr, avr_cycle_count_t cycles) {
    (void)avr;
    (void)cycles;
}

static avr_t *power_on(void) {
    elf_firmware_t firmware = {0};
    uint32_t flags = 0;
    avr_t *avr = avr_make_mcu_by_name("atmega328p");
    if (elf_read_firmware(option.elf, &firmware) != 0) {
        errx(1, "%s: not a program", option.elf);
    }
    avr_init(avr);
    avr_load_firmware(avr, &firmware);
    avr->frequency = CLOCK_HZ;
    avr->vcc = avr->avcc = avr->aref = 5000;
    avr->sleep = no_sleep;
    avr->log = LOG_ERROR;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_serial, NULL);
    option.front_end->attach(avr);
    option.front_end->restart(avr);
    return avr;
}

static void reset(avr_t *avr) {
    avr_reset(avr);
    option.front_end->restart(avr);
}

static double pace_from_s; /* when the board's time 0 was; 0: to be taken anew */

static void hold_until_heard(void) {
    while (option.wait && !stop && !cable_heard(&line)) {
        nap(0.001);
    }
    pace_from_s = 0; /* a board that was off or held does not make up for it */
}

/* Bytes of the host, as fast as the processor's receiver takes them. */
static void listen(avr_t *avr) {
    uint8_t bytes[16];
    size_t got = cable_read(&line, bytes, sizeof bytes);
    for (size_t k = 0; k < got; k++) {
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT), bytes[k]);
    }
}

static void do_events(avr_t *avr, double time_s) {
    static int next;
    for (; next < option.events_count && option.events[next].at_s <= time_s; next++) {
        const event *now = &option.events[next];
        if (now->what == OFF) {
            electrodes_off = (int)now->value;
            if (option.front_end->electrodes_changed) {
                option.front_end->electrodes_changed(avr);
            }
        } else if (now->what == RESET) {
            nap(now->value);
            reset(avr);
            pace_from_s = 0;
        } else {
            cable_unplug(&line);
            nap(now->value);
            cable_plug(&line);
            reset(avr);
            hold_until_heard();
        }
    }
}

static void keep_pace(double time_s) {
    if (option.speed > 0) {
        double left_s;
        if (pace_from_s == 0) {
            pace_from_s = now_s() - time_s / option.speed;
        }
        left_s = pace_from_s + time_s / option.speed - now_s();
        if (left_s > 0) {
            nap(left_s);
        }
    }
}

static void run(avr_t *avr) {
    avr_cycle_count_t tick = 0;
    while (!stop) {
        double time_s = (double)avr->cycle / CLOCK_HZ;
        int state = avr_run(avr);
        if (state == cpu_Done || state == cpu_Crashed) {
            errx(1, "the program crashed at %.3f s", time_s);
        }
        if (avr->cycle < tick) {
            continue;
        }
        tick = avr->cycle + TICK;
        if (time_s >= option.seconds) {
            return;
        }
        do_events(avr, time_s);
        if (line.name) {
            if (option.reset_on_open && cable_opened(&line)) {
                reset(avr);
                hold_until_heard();
            }
            listen(avr);
        }
        keep_pace(time_s);
    }
}

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void read_signal(const char *path) {
    FILE *file = fopen(path, "rb");
    long size;
    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 4) {
        errx(1, "%s: no signal", path);
    }
    rewind(file);
    signal_file.count = (size_t)size / 4;
    signal_file.values = malloc((size_t)size);
    if (!signal_file.values || fread(signal_file.values, 4, signal_file.count, file) != signal_file.count) {
        err(1, "%s", path);
    }
    fclose(file);
}

static void add_event(const char *text) {
    static const char *const NAMES[] = {"off", "reset", "unplug"};
    char name[8];
    event *made = &option.events[option.events_count];
    if (option.events_count == MAX_EVENTS ||
        sscanf(text, "%lf:%7[a-z]=%lf", &made->at_s, name, &made->value) != 3) {
        errx(2, "--event %s\n%s", text, USAGE);
    }
    for (made->what = OFF; strcmp(NAMES[made->what], name) != 0; made->what++) {
        if (made->what == UNPLUG) {
            errx(2, "--event %s\n%s", text, USAGE);
        }
    }
    option.events_count++;
}

static const chip *chip_named(const char *name) {
    static const chip *const CHIPS[] = {&ad8232, &ads1292r, &max30003};
    for (size_t k = 0; k < sizeof CHIPS / sizeof CHIPS[0]; k++) {
        if (strcmp(CHIPS[k]->name, name) == 0) {
            return CHIPS[k];
        }
    }
    errx(2, "--chip %s\n%s", name, USAGE);
}

static void read_options(int count, char **words) {
    static const struct option KNOWN[] = {
        {"link", 1, 0, 'l'},  {"output", 1, 0, 'o'},  {"chip", 1, 0, 'c'},  {"signal", 1, 0, 's'},
        {"rate", 1, 0, 'r'},  {"speed", 1, 0, 'x'},   {"wait", 0, 0, 'w'},  {"reset-on-open", 0, 0, 'R'},
        {"event", 1, 0, 'e'}, {"seconds", 1, 0, 'S'}, {0, 0, 0, 0},
    };
    int word;
    while ((word = getopt_long(count, words, "", KNOWN, NULL)) != -1) {
        switch (word) {
        case 'l': line.name = optarg; break;
        case 'o': option.output = optarg; break;
        case 'c': option.front_end = chip_named(optarg); break;
        case 's': read_signal(optarg); break;
        case 'r': option.rate_hz = atof(optarg); break;
        case 'x': option.speed = atof(optarg); break;
        case 'S': option.seconds = atof(optarg); break;
        case 'w': option.wait = true; break;
        case 'R': option.reset_on_open = true; break;
        case 'e': add_event(optarg); break;
        default: errx(2, "%s", USAGE);
        }
    }
    if (optind != count - 1 || !line.name == !option.output) {
        errx(2, "%s", USAGE);
    }
    option.elf = words[optind];
}

int main(int count, char **words) {
    read_options(count, words);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (line.name) {
        cable_plug(&line);
    } else if (!(line.file = fopen(option.output, "wb"))) {
        err(1, "%s", option.output);
    }
    avr_t *avr = power_on();
    if (line.name && !option.reset_on_open) {
        hold_until_heard();
    }
    run(avr);
    while (line.name && !stop) { /* what is on its way must not be cut off */
        nap(0.05);
    }
    if (line.name) {
        cable_unplug(&line);
    } else if (fclose(line.file) != 0) {
        err(1, "%s", option.output);
    }
    return 0;
}
