#pragma once
#include <stdint.h>
extern "C" {
typedef struct repeating_timer repeating_timer_t;
typedef bool (*repeating_timer_callback_t)(repeating_timer_t *timer);
struct repeating_timer {
    int64_t delay_us;
    int32_t alarm_id;
    repeating_timer_callback_t callback;
    void *user_data;
};
bool add_repeating_timer_us(int64_t delay_us, repeating_timer_callback_t callback, void *user_data,
                            repeating_timer_t *out);
bool cancel_repeating_timer(repeating_timer_t *timer);
}
