/* As much of the cores of ESP32, Nano 33 BLE and RP2040 as the sketches use, with the signatures of those cores,
 * so that a compiler can check the sketches where the cores cannot be had. Nothing here runs. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT 0
#define INPUT_PULLUP 2
#define OUTPUT 1
#define LOW 0
#define HIGH 1

const uint8_t A0 = 14;

extern "C" {
void pinMode(uint8_t pin, uint8_t mode);
int digitalRead(uint8_t pin);
void digitalWrite(uint8_t pin, uint8_t value);
unsigned long micros(void);
void delay(unsigned long milliseconds);
void setup(void);
void loop(void);
}
int analogRead(uint8_t pin);
void analogReadResolution(int bits);
uint32_t analogReadMilliVolts(uint8_t pin);
extern "C" uint32_t esp_random(void);

struct SerialPort {
    void begin(unsigned long baud);
    int available();
    int read();
    size_t write(const uint8_t *bytes, size_t size);
};
extern SerialPort Serial;
