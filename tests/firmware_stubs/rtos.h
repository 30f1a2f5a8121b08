#pragma once
#include "mbed.h"
enum osPriority { osPriorityRealtime = 48 };
namespace rtos {
struct Thread {
    explicit Thread(osPriority priority);
    int start(void (*task)());
};
namespace Kernel {
struct Clock {
    typedef std::chrono::time_point time_point;
    static time_point now();
};
}  // namespace Kernel
namespace ThisThread {
void sleep_until(Kernel::Clock::time_point moment);
}
}  // namespace rtos
