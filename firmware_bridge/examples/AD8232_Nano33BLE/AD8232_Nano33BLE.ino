// AD8232 module on an Arduino Nano 33 BLE (nRF52840, 12 bits): 250 samples per second, any whole number of
// milliseconds between samples on request.
//
//   AD8232   Nano 33 BLE
//   OUTPUT   A0
//   LO+      D10
//   LO-      D11
//   3.3V     3.3V
//   GND      GND
//
// A thread takes the samples, loop() sends them over USB and sleeps in between.
// Then: ecgedge stream --port /dev/ttyACM0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <mbed.h>
#include <rtos.h>

#include "ecgedge.h"

static const uint32_t RATE_MHZ = 250000;  // millihertz after power-up
static const uint32_t SHORTEST_MS = 1, LONGEST_MS = 10;

static const float GAIN = 1100;                                  // of the common AD8232 modules
static const float UV_PER_COUNT = 3300000.0f / 4096.0f / GAIN;  // 12 bits of 3.3 V

ECGEDGE_RING(ring, 4, 20, 1, 2);  // 4 frames of 20 samples

static rtos::Thread sampler(osPriorityRealtime);
static volatile uint32_t periodMs = 4;

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static uint32_t setRate(uint32_t wanted) {
  uint32_t period = (1000000 + wanted / 2) / wanted;
  period = period < SHORTEST_MS ? SHORTEST_MS : period > LONGEST_MS ? LONGEST_MS : period;
  periodMs = period;
  return (1000000 + period / 2) / period;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, RATE_MHZ, UV_PER_COUNT, 12, 1, "AD8232 on Nano 33 BLE");

static void takeSamples() {
  rtos::Kernel::Clock::time_point next = rtos::Kernel::Clock::now();
  for (;;) {
    next += std::chrono::milliseconds(periodMs);
    rtos::ThisThread::sleep_until(next);
    int32_t value = analogRead(A0);
    ecgedge_ring_put(&ring, &value, digitalRead(10) || digitalRead(11), micros());
  }
}

void setup() {
  Serial.begin(115200);
  pinMode(10, INPUT);
  pinMode(11, INPUT);
  analogReadResolution(12);
  stream.hello.boot = micros();  // USB takes a different time at every start
  ecgedge_stream_poll(&stream, micros());
  sampler.start(takeSamples);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  delay(5);  // sleeps
}
