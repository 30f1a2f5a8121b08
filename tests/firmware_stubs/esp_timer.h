#pragma once
#include <stdint.h>
typedef struct esp_timer *esp_timer_handle_t;
typedef struct {
    void (*callback)(void *);
    void *arg;
    int dispatch_method;
    const char *name;
    bool skip_unhandled_events;
} esp_timer_create_args_t;
extern "C" int esp_timer_create(const esp_timer_create_args_t *arguments, esp_timer_handle_t *timer);
extern "C" int esp_timer_start_periodic(esp_timer_handle_t timer, uint64_t period_us);
extern "C" int esp_timer_stop(esp_timer_handle_t timer);
