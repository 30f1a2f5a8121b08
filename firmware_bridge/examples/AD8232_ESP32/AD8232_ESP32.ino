// AD8232 module on an ESP32: 250 samples per second, any rate on request.
//
//   AD8232   ESP32
//   OUTPUT   GPIO34    an input of converter 1: converter 2 does not work beside WiFi
//   LO+      GPIO32
//   LO-      GPIO33
//   3.3V     3V3
//   GND      GND
//
// A timer's task takes the samples, loop() sends them and sleeps in between.
// Then: ecgedge stream --port /dev/ttyUSB0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <esp_timer.h>

#include "ecgedge.h"

static const int OUTPUT_PIN = 34, LO_PLUS_PIN = 32, LO_MINUS_PIN = 33;
static const uint32_t RATE_MHZ = 250000;  // millihertz after power-up
static const uint32_t SHORTEST_US = 1000, LONGEST_US = 10000;

static const float GAIN = 1100;  // of the common AD8232 modules
static const float UV_PER_COUNT = 1000.0f / GAIN;  // the chip's own calibration makes millivolts

ECGEDGE_RING(ring, 4, 20, 1, 2);  // 4 frames of 20 samples

static esp_timer_handle_t timer;

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static uint32_t setRate(uint32_t wanted) {
  uint32_t period = (1000000000 + wanted / 2) / wanted;
  period = period < SHORTEST_US ? SHORTEST_US : period > LONGEST_US ? LONGEST_US : period;
  esp_timer_stop(timer);
  esp_timer_start_periodic(timer, period);
  return (1000000000 + period / 2) / period;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, RATE_MHZ, UV_PER_COUNT, 12, 1, "AD8232 on ESP32");

static void takeSample(void *) {
  int32_t value = analogReadMilliVolts(OUTPUT_PIN);
  bool off = digitalRead(LO_PLUS_PIN) || digitalRead(LO_MINUS_PIN);
  ecgedge_ring_put(&ring, &value, off, micros());
}

void setup() {
  Serial.begin(115200);
  pinMode(LO_PLUS_PIN, INPUT);
  pinMode(LO_MINUS_PIN, INPUT);
  stream.hello.boot = esp_random();
  ecgedge_stream_poll(&stream, micros());
  esp_timer_create_args_t arguments = {};
  arguments.callback = takeSample;
  arguments.name = "samples";
  esp_timer_create(&arguments, &timer);
  setRate(RATE_MHZ);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  delay(5);  // sleeps
}
