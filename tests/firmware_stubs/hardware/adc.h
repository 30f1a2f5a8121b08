#pragma once
#include <stdint.h>
extern "C" {
void adc_init(void);
void adc_gpio_init(unsigned int pin);
void adc_select_input(unsigned int input);
uint16_t adc_read(void);
}
