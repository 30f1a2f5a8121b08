#pragma once
#include <stdint.h>
namespace std {
namespace chrono {
struct milliseconds {
    explicit milliseconds(uint32_t count);
};
struct time_point {
    time_point &operator+=(const milliseconds &step);
};
}  // namespace chrono
}  // namespace std
