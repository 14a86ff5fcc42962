// The reference memory: one AXI4 read or write port per master onto hbm.h, with latency, bursts in flight and stalls.
// Does: answer the first beat `latency` cycles after its address, then a beat per cycle, bursts in order; take a
// write beat per cycle and answer `latency` cycles after the last; answer DECERR outside its buffers; check that
// bursts are whole and that a waiting valid keeps its payload.
// Does not: model banks, refresh or ports that share bandwidth.
// A port is driven before and sampled at each clock edge; signals of all masters are packed in one vector each.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "hbm.h"

namespace vla {

constexpr uint32_t kMaxBursts = 64;

struct Timing {
  uint64_t latency;
  uint32_t outstanding;
  uint32_t stall;  // of 256
};

// Byte `lane` of a packed port of any Verilator type; the vectors are little endian.
template <class Port>
uint8_t* lane_bytes(Port& port, int lane, int bytes) {
  return reinterpret_cast<uint8_t*>(&port) + lane * bytes;
}
template <class Port>
uint64_t field(const Port& port, int lane, int bits) {
  uint64_t word = 0;
  std::memcpy(&word, &port, sizeof(port) < 8 ? sizeof(port) : 8);
  return (word >> (lane * bits)) & ((1ull << bits) - 1);
}
template <class Port>
void set_field(Port& port, int lane, int bits, uint64_t value) {
  const uint64_t mask = ((1ull << bits) - 1) << (lane * bits);
  port = static_cast<Port>((port & ~mask) | (value << (lane * bits)));
}

// Seeded coin flips of one port.
class Stalls {
 public:
  void reset(uint64_t seed, uint32_t threshold) {
    state_ = seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull;
    if (state_ == 0) state_ = 1;
    threshold_ = threshold;
  }
  bool flip() {
    if (threshold_ == 0) return false;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 32 & 0xFF) < threshold_;
  }

 private:
  uint64_t state_ = 1;
  uint32_t threshold_ = 0;
};

// What an address channel carries.
struct Address {
  uint64_t addr = 0;
  uint32_t len = 0;
  uint32_t size = 0;
  uint32_t burst = 0;
  bool operator==(const Address& o) const {
    return addr == o.addr && len == o.len && size == o.size && burst == o.burst;
  }
};

// An address channel: accepts bursts, checks their shape, remembers them in order.
class AddressChannel {
 public:
  struct Burst {
    uint64_t addr;
    uint32_t beats;
    uint64_t at;  // cycle from which it may be answered
    bool bad;
  };

  void reset(const Timing& timing, uint64_t seed) {
    stalls_.reset(seed, timing.stall);
    outstanding_ = timing.outstanding;
    head_ = tail_ = 0;
    ready_ = waiting_ = false;
  }
  bool drive() { return ready_ = tail_ - head_ < outstanding_ && !stalls_.flip(); }

  // Returns what is wrong with the burst, or nullptr.
  const char* sample(bool valid, const Address& a, uint64_t at) {
    if (waiting_ && !(valid && a == last_)) return "an address changed before it was taken";
    waiting_ = valid && !ready_;
    last_ = a;
    if (!valid || !ready_) return nullptr;
    bursts_[tail_++ % kMaxBursts] = {a.addr, a.len + 1, at, false};
    if (a.size != 5 || a.burst != 1) return "a burst is not INCR of 32-byte beats";
    if (a.addr % kBeat != 0) return "a burst does not start at a beat";
    if (a.addr / 4096 != (a.addr + (a.len + 1) * kBeat - 1) / 4096) return "a burst crosses a 4 KB line";
    return nullptr;
  }
  bool empty() const { return head_ == tail_; }
  Burst& head() { return bursts_[head_ % kMaxBursts]; }
  Burst& at(uint32_t index) { return bursts_[index % kMaxBursts]; }
  uint32_t head_index() const { return head_; }
  uint32_t tail_index() const { return tail_; }
  void pop() { ++head_; }

 private:
  Stalls stalls_;
  Burst bursts_[kMaxBursts];
  uint32_t outstanding_ = 8, head_ = 0, tail_ = 0;
  bool ready_ = false, waiting_ = false;
  Address last_;
};

// Read side of a master.
class ReadPort {
 public:
  void reset(const Timing& timing, Hbm& memory, uint64_t seed) {
    address_.reset(timing, seed);
    stalls_.reset(seed + 1, timing.stall);
    latency_ = timing.latency;
    memory_ = &memory;
    valid_ = false;
  }
  bool drive_ready() { return address_.drive(); }

  // True if a beat is offered; it is then in data, last, error.
  bool drive_beat(uint64_t now, uint8_t* data, bool& last, bool& error) {
    if (valid_) return last = last_, error = error_, true;
    if (address_.empty() || address_.head().at > now || stalls_.flip()) return false;
    const auto& burst = address_.head();
    const uint8_t* found = memory_->find(burst.addr, kBeat);
    if (found) std::memcpy(data, found, kBeat);
    else std::memset(data, 0, kBeat);
    last = last_ = burst.beats == 1;
    error = error_ = found == nullptr;
    return valid_ = true;
  }
  const char* sample(uint64_t now, bool ar_valid, const Address& a, bool r_ready) {
    if (valid_ && r_ready) {
      auto& burst = address_.head();
      burst.addr += kBeat;
      if (--burst.beats == 0) address_.pop();
      valid_ = false;
    }
    return address_.sample(ar_valid, a, now + latency_);
  }

 private:
  AddressChannel address_;
  Stalls stalls_;
  Hbm* memory_ = nullptr;
  uint64_t latency_ = 0;
  bool valid_ = false, last_ = false, error_ = false;
};

// Write side of a master.
class WritePort {
 public:
  void reset(const Timing& timing, Hbm& memory, uint64_t seed) {
    address_.reset(timing, seed);
    stalls_.reset(seed + 1, timing.stall);
    latency_ = timing.latency;
    memory_ = &memory;
    writing_ = 0;
    ready_ = answer_ = waiting_ = false;
  }
  bool drive_ready() { return address_.drive(); }
  bool drive_beat_ready() { return ready_ = writing_ != address_.tail_index() && !stalls_.flip(); }
  bool drive_answer(uint64_t now, bool& error) {
    if (!answer_) {
      const bool whole = address_.head_index() != writing_ && address_.head().at <= now;
      answer_ = whole && !stalls_.flip();
    }
    error = answer_ && address_.head().bad;
    return answer_;
  }
  const char* sample(uint64_t now, bool aw_valid, const Address& a, bool w_valid, const uint8_t* data,
                     uint32_t strobe, bool last, bool b_ready) {
    if (answer_ && b_ready) {
      address_.pop();
      answer_ = false;
    }
    if (waiting_ && !(w_valid && strobe == strobe_ && last == last_ && std::memcmp(data, data_, kBeat) == 0))
      return "write data changed before it was taken";
    waiting_ = w_valid && !ready_;
    if (waiting_) {
      std::memcpy(data_, data, kBeat);
      strobe_ = strobe;
      last_ = last;
    }
    const char* wrong = nullptr;
    if (w_valid && ready_) wrong = beat(now, data, strobe, last);
    const char* bad_address = address_.sample(aw_valid, a, 0);
    return wrong ? wrong : bad_address;
  }

 private:
  const char* beat(uint64_t now, const uint8_t* data, uint32_t strobe, bool last) {
    auto& burst = address_.at(writing_);
    uint8_t* to = memory_->find(burst.addr, kBeat);
    if (!to) burst.bad = true;
    else if (strobe == ~0u) std::memcpy(to, data, kBeat);
    else for (uint32_t i = 0; i < kBeat; ++i) if (strobe >> i & 1) to[i] = data[i];
    burst.addr += kBeat;
    const bool end = --burst.beats == 0;
    if (end) {
      burst.at = now + latency_;
      ++writing_;
    }
    return end == last ? nullptr : "wlast is not on the last beat of a burst";
  }

  AddressChannel address_;
  Stalls stalls_;
  Hbm* memory_ = nullptr;
  uint64_t latency_ = 0;
  uint32_t writing_ = 0;  // burst whose beats come next
  bool ready_ = false, answer_ = false, waiting_ = false, last_ = false;
  uint8_t data_[kBeat] = {};
  uint32_t strobe_ = 0;
};

}  // namespace vla
