// ADS1292R module (24 bits) on an Arduino Uno or Nano: 250 samples per second, 125 and 500 on request.
//
//   ADS1292R     Uno, Nano
//   DRDY         D2
//   START        D5
//   PWDN/RESET   D4
//   CS           D10
//   MOSI (DIN)   D11
//   MISO (DOUT)  D12
//   SCLK         D13
//   3.3V         3.3V
//   GND          GND
//
// The chip bears 3.3 V only, the Uno's pins give 5 V: use a module with level shifters, or put a shifter in
// between. Lead 0 is channel 2 (on most modules the ECG), lead 1 is channel 1 (there respiration).
// Then: ecgedge stream --port /dev/ttyACM0
//
// Not a medical device. Battery power only while electrodes are on a person: see README.md, Safety.

#include <SPI.h>
#include <avr/sleep.h>

#include "ecgedge.h"

static const int DRDY_PIN = 2, RESET_PIN = 4, START_PIN = 5, CS_PIN = 10;

// Commands and registers of the datasheet.
enum { RDATAC = 0x10, SDATAC = 0x11, WREG = 0x40 };
enum { CONFIG1 = 0x01, CONFIG2 = 0x02, LOFF = 0x03, CH1SET = 0x04, CH2SET = 0x05, RLD_SENS = 0x06, LOFF_SENS = 0x07, RESP2 = 0x0A };
enum { RATE_125 = 0, RATE_250 = 1, RATE_500 = 2 };

static const float GAIN = 6;
static const float UV_PER_COUNT = 2420000.0f / 8388607.0f / GAIN;  // reference 2.42 V

// 1 MHz: a byte then takes longer than the 8 microseconds that the chip wants between bytes of a command.
static const SPISettings BUS(1000000, MSBFIRST, SPI_MODE1);

ECGEDGE_RING(ring, 3, 12, 2, 3);  // 3 frames of 12 samples, two leads, 24 bits

static uint16_t starts __attribute__((section(".noinit")));  // counts resets, as long as there is power

static void send(const uint8_t *bytes, uint16_t size) { Serial.write(bytes, size); }

static void command(uint8_t byte) {
  SPI.beginTransaction(BUS);
  digitalWrite(CS_PIN, LOW);
  SPI.transfer(byte);
  delayMicroseconds(10);
  digitalWrite(CS_PIN, HIGH);
  SPI.endTransaction();
}

static void writeRegister(uint8_t number, uint8_t value) {
  SPI.beginTransaction(BUS);
  digitalWrite(CS_PIN, LOW);
  SPI.transfer(WREG | number);
  SPI.transfer(0);  // one register
  SPI.transfer(value);
  delayMicroseconds(10);
  digitalWrite(CS_PIN, HIGH);
  SPI.endTransaction();
}

static uint32_t setRate(uint32_t wanted) {
  uint8_t code = wanted < 187500 ? RATE_125 : wanted < 375000 ? RATE_250 : RATE_500;
  noInterrupts();  // the bus belongs to the interrupt otherwise
  command(SDATAC);
  writeRegister(CONFIG1, code);
  command(RDATAC);
  interrupts();
  return 125000UL << code;
}

static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, setRate, 250000, UV_PER_COUNT, 24, 2, "ADS1292R on ATmega328P");

static int32_t read24(void) {
  uint32_t value = (uint32_t)SPI.transfer(0) << 24;
  value |= (uint32_t)SPI.transfer(0) << 16;
  value |= (uint32_t)SPI.transfer(0) << 8;
  return (int32_t)value >> 8;
}

// 24 bits of status, of which 19 to 15 tell of electrodes (RLD, IN2N, IN2P, IN1N, IN1P), then the channels.
static void takeSample(void) {
  uint32_t now = micros();
  int32_t values[2];
  SPI.beginTransaction(BUS);
  digitalWrite(CS_PIN, LOW);
  uint32_t status = (uint32_t)read24();
  values[1] = read24();
  values[0] = read24();
  digitalWrite(CS_PIN, HIGH);
  SPI.endTransaction();
  uint16_t off = (status & 0x060000 ? 1 : 0) | (status & 0x018000 ? 2 : 0);
  ecgedge_ring_put(&ring, values, off, now);
}

void setup() {
  Serial.begin(115200);
  pinMode(DRDY_PIN, INPUT);
  pinMode(CS_PIN, OUTPUT);
  pinMode(START_PIN, OUTPUT);
  pinMode(RESET_PIN, OUTPUT);
  digitalWrite(CS_PIN, HIGH);
  digitalWrite(START_PIN, LOW);
  digitalWrite(RESET_PIN, LOW);
  delay(10);
  digitalWrite(RESET_PIN, HIGH);
  delay(1000);  // the reference settles
  SPI.begin();
  command(SDATAC);  // registers cannot be written while it reads continuously
  writeRegister(CONFIG1, RATE_250);
  writeRegister(CONFIG2, 0xE0);    // reference and leads-off comparators on
  writeRegister(LOFF, 0x10);       // leads off: 6 nA, 95 %
  writeRegister(CH1SET, 0x00);     // gain 6
  writeRegister(CH2SET, 0x00);
  writeRegister(RLD_SENS, 0x2C);   // right leg driven from channel 2
  writeRegister(LOFF_SENS, 0x0F);  // watch all four inputs
  writeRegister(RESP2, 0x03);      // right leg's reference inside
  stream.hello.boot = ++starts;
  ecgedge_stream_poll(&stream, micros());
  SPI.usingInterrupt(digitalPinToInterrupt(DRDY_PIN));
  attachInterrupt(digitalPinToInterrupt(DRDY_PIN), takeSample, FALLING);
  command(RDATAC);
  digitalWrite(START_PIN, HIGH);
  set_sleep_mode(SLEEP_MODE_IDLE);
}

void loop() {
  while (Serial.available()) {
    ecgedge_stream_receive(&stream, Serial.read());
  }
  ecgedge_stream_poll(&stream, micros());
  sleep_mode();  // until a sample, the serial line or the clock wakes it
}
