// AD8232 module on a Raspberry Pi Pico or another RP2040 board (12 bits): 250 samples per second, any rate on
// request. Works with the Arduino core of Earle Philhower and with Arduino's own (mbed).
//
//   AD8232   Pico
//   OUTPUT   GP26 (ADC0)
//   LO+      GP14
//   LO-      GP15
//   3.3V     3V3
//   GND      AGND
//
// A timer's interrupt takes the samples, loop() sends them over USB and sleeps in between.
// Then: ecgedge stream --port /dev/ttyACM0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <hardware/adc.h>
#include <pico/time.h>

#include "ecgedge.h"

static const int LO_PLUS_PIN = 14, LO_MINUS_PIN = 15;
static const uint32_t RATE_MHZ = 250000;  // millihertz after power-up
static const uint32_t SHORTEST_US = 1000, LONGEST_US = 10000;

static const float GAIN = 1100;                                  // of the common AD8232 modules
static const float UV_PER_COUNT = 3300000.0f / 4096.0f / GAIN;  // 12 bits of 3.3 V

ECGEDGE_RING(ring, 4, 20, 1, 2);  // 4 frames of 20 samples

static repeating_timer_t timer;

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static bool takeSample(repeating_timer_t *) {
  int32_t value = adc_read();  // 2 microseconds
  ecgedge_ring_put(&ring, &value, digitalRead(LO_PLUS_PIN) || digitalRead(LO_MINUS_PIN), micros());
  return true;
}

static uint32_t setRate(uint32_t wanted) {
  uint32_t period = (1000000000 + wanted / 2) / wanted;
  period = period < SHORTEST_US ? SHORTEST_US : period > LONGEST_US ? LONGEST_US : period;
  cancel_repeating_timer(&timer);
  add_repeating_timer_us(-(int64_t)period, takeSample, NULL, &timer);  // negative: from start to start
  return (1000000000 + period / 2) / period;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, RATE_MHZ, UV_PER_COUNT, 12, 1, "AD8232 on RP2040");

void setup() {
  Serial.begin(115200);
  pinMode(LO_PLUS_PIN, INPUT);
  pinMode(LO_MINUS_PIN, INPUT);
  adc_init();
  adc_gpio_init(26);
  adc_select_input(0);
  stream.hello.boot = micros();  // USB takes a different time at every start
  ecgedge_stream_poll(&stream, micros());
  setRate(RATE_MHZ);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  delay(5);  // sleeps
}
