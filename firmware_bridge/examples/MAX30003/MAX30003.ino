// MAX30003 module (18 bits) on an Arduino Uno or Nano: 256 samples per second, 128 and 512 on request.
//
//   MAX30003    Uno, Nano
//   INTB        D2
//   CSB         D10
//   MOSI (SDI)  D11
//   MISO (SDO)  D12
//   SCLK        D13
//   3.3V        3.3V        or as the module says
//   GND         GND
//
// The chip bears less than 5 V: use a module with level shifters, or put a shifter in between.
// Then: ecgedge stream --port /dev/ttyACM0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <SPI.h>
#include <avr/sleep.h>

#include "ecgedge.h"

static const int INTB_PIN = 2, CS_PIN = 10;

// Registers and tags of the datasheet.
enum { STATUS = 0x01, EN_INT = 0x02, MNGR_INT = 0x04, SW_RST = 0x08, SYNCH = 0x09, FIFO_RST = 0x0A, CNFG_GEN = 0x10, CNFG_EMUX = 0x14, CNFG_ECG = 0x15, ECG_FIFO = 0x21 };
enum { VALID = 0, FAST = 1, LAST_VALID = 2, LAST_FAST = 3, OVERFLOWN = 7 };
static const uint32_t LEADS_OFF = 0x100000;
static const uint32_t EVERY_SAMPLE = 0x800003;  // EN_INT: the FIFO has a sample; INTB with a pull-up inside
static const uint32_t ECG_ON = 0x081007;         // CNFG_GEN: ECG on, leads-off by direct current
static const uint32_t ECG_SETTINGS = 0x005000;   // CNFG_ECG: gain 20, high-pass 0.5 Hz, low-pass 40 Hz

static const float GAIN = 20;
static const float UV_PER_COUNT = 1000000.0f / 131072.0f / GAIN;  // reference 1 V

static const SPISettings BUS(4000000, MSBFIRST, SPI_MODE0);

ECGEDGE_RING(ring, 3, 20, 1, 3);  // 3 frames of 20 samples, 24 bits

static uint16_t starts __attribute__((section(".noinit")));  // counts resets, as long as there is power

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static uint32_t access(uint8_t address, uint32_t value) {
  uint32_t answer = 0;
  SPI.beginTransaction(BUS);
  digitalWrite(CS_PIN, LOW);
  SPI.transfer(address);
  for (int8_t shift = 16; shift >= 0; shift -= 8) {
    answer = answer << 8 | SPI.transfer(value >> shift);
  }
  digitalWrite(CS_PIN, HIGH);
  SPI.endTransaction();
  return answer;
}

static void writeRegister(uint8_t number, uint32_t value) { access(number << 1, value); }

static uint32_t readRegister(uint8_t number) { return access(number << 1 | 1, 0); }

static uint32_t setRate(uint32_t wanted) {
  uint8_t code = wanted < 192000 ? 2 : wanted < 384000 ? 1 : 0;  // 128, 256, 512 Hz
  noInterrupts();  // the bus belongs to the interrupt otherwise
  writeRegister(CNFG_ECG, (uint32_t)code << 22 | ECG_SETTINGS);
  writeRegister(SYNCH, 0);
  interrupts();
  return 512000UL >> code;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, 256000, UV_PER_COUNT, 18, 1, "MAX30003 on ATmega328P");

// INTB falls when there is a sample. Usually there is one; more where the interrupt had to wait.
static void takeSamples(void) {
  uint32_t now = micros();
  bool off = readRegister(STATUS) & LEADS_OFF;
  for (;;) {
    uint32_t word = readRegister(ECG_FIFO);  // 18 bits of sample, 3 of tag, 3 that do not matter here
    uint8_t tag = word >> 3 & 7;
    if (tag == OVERFLOWN) {
      writeRegister(FIFO_RST, 0);
    }
    if (tag > LAST_FAST) {
      return;
    }
    int32_t value = (int32_t)(word << 8) >> 14;
    ecgedge_ring_put(&ring, &value, off, now);
    if (tag == LAST_VALID || tag == LAST_FAST) {
      return;
    }
  }
}

void setup() {
  Serial.begin(115200);
  pinMode(INTB_PIN, INPUT_PULLUP);
  pinMode(CS_PIN, OUTPUT);
  digitalWrite(CS_PIN, HIGH);
  SPI.begin();
  writeRegister(SW_RST, 0);
  delay(100);
  writeRegister(CNFG_GEN, ECG_ON);
  writeRegister(CNFG_EMUX, 0);  // both inputs connected
  writeRegister(MNGR_INT, 0);   // an interrupt for every sample
  writeRegister(EN_INT, EVERY_SAMPLE);
  stream.hello.boot = ++starts;
  ecgedge_stream_poll(&stream, micros());
  SPI.usingInterrupt(digitalPinToInterrupt(INTB_PIN));
  attachInterrupt(digitalPinToInterrupt(INTB_PIN), takeSamples, FALLING);
  setRate(256000);  // begins, the FIFO empty
  set_sleep_mode(SLEEP_MODE_IDLE);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  sleep_mode();  // until a sample, the serial line or the clock wakes it
}
