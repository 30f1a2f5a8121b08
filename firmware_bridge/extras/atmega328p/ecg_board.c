/* AD8232 on a bare ATmega328P at 16 MHz, without Arduino: OUTPUT at ADC0 (A0), LO+ at PB2 (D10), LO- at PB3 (D11).
 *
 * Timer 1 starts the converter in hardware; the processor sleeps whenever there is nothing to do. The whole
 * program, build and flash (Uno bootloader):
 *
 *   avr-gcc -mmcu=atmega328p -DF_CPU=16000000UL -std=gnu99 -Os -flto *.c -o ecg_board.elf
 *   avr-objcopy -O ihex ecg_board.elf ecg_board.hex
 *   avrdude -c arduino -p m328p -P /dev/ttyACM0 -b 115200 -U flash:w:ecg_board.hex
 *
 * Not a medical device. Battery power only while electrodes are on a person.
 */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#include "ecgedge.h"

#define RATE_MHZ 250000UL /* millihertz after power-up */
#define LOWEST_MHZ 100000UL
#define HIGHEST_MHZ 1000000UL
#define TIMER_MHZ 2000000000UL /* 16 MHz / 8: a tick is half a microsecond */
#define BAUD 115200UL
#define UV_PER_COUNT (5e6f / 1024 / 1100) /* 10 bits of 5 V, gain 1100 */

ECGEDGE_RING(ring, 3, 20, 1, 2);

static uint16_t starts __attribute__((section(".noinit"))); /* counts resets, as long as there is power */
static uint16_t ticks;                                       /* of a sampling period */
static volatile uint32_t time_us;                            /* of the latest sample */

/* What is being sent: the interrupt takes it byte by byte. */
static const uint8_t *volatile sending;
static volatile uint16_t left;

/* What the host has sent. One writer each, so that nothing is locked. */
static uint8_t heard[32];
static volatile uint8_t heard_in;
static uint8_t heard_out;

ISR(USART_UDRE_vect) {
    UDR0 = *sending++;
    if (--left == 0) {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
    }
}

ISR(USART_RX_vect) {
    uint8_t next = (uint8_t)((heard_in + 1) % sizeof heard);
    heard[heard_in] = UDR0;
    if (next != heard_out) {
        heard_in = next;
    }
}

ISR(ADC_vect) {
    static uint8_t half;
    int32_t value = ADC;
    uint16_t period = (uint16_t)(ticks + half);
    half = period & 1;
    time_us += period >> 1;
    TIFR1 = _BV(OCF1B); /* the next trigger is a rising edge of this flag */
    ecgedge_ring_put(&ring, &value, (PINB & (_BV(PB2) | _BV(PB3))) != 0, time_us);
}

/* Until an interrupt; none is missed between the question and the sleep. */
static void sleep_while(bool idle) {
    if (idle) {
        sleep_enable();
        sei();
        sleep_cpu();
        sleep_disable();
    }
    sei();
}

static void send(const uint8_t *bytes, uint16_t size) {
    sending = bytes;
    left = size;
    UCSR0B |= _BV(UDRIE0);
    while (left) {
        cli();
        sleep_while(left != 0);
    }
}

static uint32_t set_rate(uint32_t wanted) {
    uint32_t rate = wanted < LOWEST_MHZ ? LOWEST_MHZ : wanted > HIGHEST_MHZ ? HIGHEST_MHZ : wanted;
    uint16_t period = (uint16_t)((TIMER_MHZ + rate / 2) / rate);
    cli();
    ticks = period;
    TCCR1B = _BV(WGM12) | _BV(CS11); /* count to OCR1A, then begin anew */
    OCR1A = period - 1;
    OCR1B = period - 1; /* the converter's trigger */
    TCNT1 = 0;
    sei();
    return (TIMER_MHZ + period / 2) / period;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, set_rate, RATE_MHZ, UV_PER_COUNT, 10, 1, "AD8232 on ATmega328P");

static uint32_t now_us(void) {
    uint32_t now;
    do {
        now = time_us;
    } while (now != time_us);
    return now;
}

int main(void) {
    set_sleep_mode(SLEEP_MODE_IDLE);
    UBRR0 = F_CPU / 8 / BAUD - 1;
    UCSR0A = _BV(U2X0);
    UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
    sei();
    stream.hello.boot = ++starts;
    ecgedge_stream_poll(&stream, 0);

    ADMUX = _BV(REFS0);                /* ADC0 against the supply */
    ADCSRB = _BV(ADTS2) | _BV(ADTS0);  /* started by timer 1, compare B */
    ADCSRA = _BV(ADEN) | _BV(ADATE) | _BV(ADIE) | _BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0);
    set_rate(RATE_MHZ);
    for (;;) {
        while (heard_out != heard_in) {
            ecgedge_stream_receive(&stream, heard[heard_out]);
            heard_out = (uint8_t)((heard_out + 1) % sizeof heard);
        }
        ecgedge_stream_poll(&stream, now_us());
        cli();
        sleep_while(heard_out == heard_in && ecgedge_ring_ready(&ring) == 0);
    }
}
