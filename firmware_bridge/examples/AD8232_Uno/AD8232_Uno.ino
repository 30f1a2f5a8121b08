// AD8232 module on an Arduino Uno or Nano (ATmega328P, 16 MHz): 250 samples per second, any rate on request.
//
//   AD8232   Uno, Nano
//   OUTPUT   A0
//   LO+      D10
//   LO-      D11
//   3.3V     3.3V      not 5V: the module's chip does not bear it
//   GND      GND
//
// Timer 1 starts the converter in hardware, so that the moment of a sample does not depend on what the
// program is doing. Then: ecgedge stream --port /dev/ttyACM0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <avr/sleep.h>

#include "ecgedge.h"

static const uint32_t RATE_MHZ = 250000;  // millihertz after power-up
static const uint32_t LOWEST_MHZ = 100000, HIGHEST_MHZ = 1000000;
static const uint32_t TIMER_MHZ = 2000000000;  // 16 MHz / 8

static const float GAIN = 1100;                                  // of the common AD8232 modules
static const float UV_PER_COUNT = 5000000.0f / 1024.0f / GAIN;  // 10 bits of 5 V

ECGEDGE_RING(ring, 3, 20, 1, 2);  // 3 frames of 20 samples

static uint16_t starts __attribute__((section(".noinit")));  // counts resets, as long as there is power

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static uint32_t setRate(uint32_t wanted) {
  uint32_t rate = wanted < LOWEST_MHZ ? LOWEST_MHZ : wanted > HIGHEST_MHZ ? HIGHEST_MHZ : wanted;
  uint16_t ticks = (TIMER_MHZ + rate / 2) / rate;
  TCCR1A = 0;
  TCCR1B = _BV(WGM12) | _BV(CS11);  // count to OCR1A at 2 MHz, then begin anew
  OCR1A = ticks - 1;
  OCR1B = ticks - 1;  // the converter's trigger
  TCNT1 = 0;
  return (TIMER_MHZ + ticks / 2) / ticks;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, RATE_MHZ, UV_PER_COUNT, 10, 1, "AD8232 on ATmega328P");

ISR(ADC_vect) {
  int32_t value = ADC;
  TIFR1 = _BV(OCF1B);  // the next trigger is a rising edge of this flag
  ecgedge_ring_put(&ring, &value, (PINB & (_BV(2) | _BV(3))) != 0, micros());
}

void setup() {
  Serial.begin(115200);
  pinMode(10, INPUT);
  pinMode(11, INPUT);
  stream.hello.boot = ++starts;
  ecgedge_stream_poll(&stream, micros());

  ADMUX = _BV(REFS0);               // A0 against the supply
  ADCSRB = _BV(ADTS2) | _BV(ADTS0);  // started by timer 1, compare B
  ADCSRA = _BV(ADEN) | _BV(ADATE) | _BV(ADIE) | _BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0);
  setRate(RATE_MHZ);
  TIFR1 = _BV(OCF1B);
  set_sleep_mode(SLEEP_MODE_IDLE);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  sleep_mode();  // until the converter, the serial line or the clock wakes it
}
