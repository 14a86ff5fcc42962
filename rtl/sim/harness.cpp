// A machine on a host: clock, AXI4-Lite host and the reference memory around the Verilated vla_core.
// Does: run one program per call exactly as a driver would: reset, arguments, start, interrupt, results.
// Does not: keep anything between runs: the model is made anew and its memories are zero, unless vla_test_leftovers
// asks for a start as on a board that has run before.
#include <cstdlib>
#include <memory>
#include <string>

#include "Vvla_core.h"
#include "memory_model.h"
#include "scratchpads.h"
#include "verilated.h"
#include "vla_api.h"
#include "vla_isa.h"

namespace {

using vla::field;
using vla::set_field;

using Top = Vvla_core;
constexpr int kWeightMasters = sizeof(std::declval<Top>().m_axi_weight_rdata) / vla::kBeat;
constexpr int kInMasters = sizeof(std::declval<Top>().m_axi_in_rdata) / vla::kBeat;
constexpr int kOutMasters = sizeof(std::declval<Top>().m_axi_out_wdata) / vla::kBeat;
constexpr int kBlock = vla::block<Vvla_core___024root>();
constexpr int kLiteTimeout = 1000;  // cycles

// Drives and samples `Count` read masters whose signals are called m_axi_<group>_*.
#define VLA_READ_GROUP(group, ports, count)                                                             \
  void drive_##group() {                                                                                \
    for (int i = 0; i < count; ++i) {                                                                   \
      bool last = false, error = false;                                                                 \
      set_field(top_->m_axi_##group##_arready, i, 1, ports[i].drive_ready());                           \
      const bool valid = ports[i].drive_beat(now_, vla::lane_bytes(top_->m_axi_##group##_rdata, i, 32), \
                                             last, error);                                              \
      set_field(top_->m_axi_##group##_rvalid, i, 1, valid);                                             \
      if (!valid) continue;                                                                             \
      set_field(top_->m_axi_##group##_rlast, i, 1, last);                                               \
      set_field(top_->m_axi_##group##_rresp, i, 2, error ? 3 : 0);                                      \
    }                                                                                                   \
  }                                                                                                     \
  void sample_##group() {                                                                               \
    for (int i = 0; i < count; ++i) {                                                                   \
      const bool valid = field(top_->m_axi_##group##_arvalid, i, 1);                                    \
      const bool ready = field(top_->m_axi_##group##_rready, i, 1);                                     \
      vla::Address a;                                                                                   \
      if (valid) a = VLA_ADDRESS(group, ar, i);                                                         \
      report(ports[i].sample(now_, valid, a, ready), #group, i);                                        \
    }                                                                                                   \
  }
#define VLA_ADDRESS(group, a, i)                                           \
  address(vla::lane_bytes(top_->m_axi_##group##_##a##addr, i, 8),          \
          field(top_->m_axi_##group##_##a##len, i, 8),                     \
          field(top_->m_axi_##group##_##a##size, i, 3), field(top_->m_axi_##group##_##a##burst, i, 2))

class Machine {
 public:
  int run(uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
          const vla_options& options, vla_result& result) {
    message_.clear();
    result = {};
    if (options.outstanding < 1 || options.outstanding > vla::kMaxBursts || options.stall_percent > 90) {
      message_ = "outstanding must be 1..64 and stall_percent 0..90";
      return 2;
    }
    const bool goes_on = leftovers_ && top_;
    if (!goes_on) make_model();
    images_.put(data, data_bytes, weights, weight_bytes, kBlock * kBlock, kWeightMasters);
    if (!goes_on) connect(options);
    if (!goes_on) reset();
    if (leftovers_) litter(leftovers_);
    else clear();
    leftovers_ = 0;
    for (int c = 0; c < vla_isa::kDataChannels; ++c) {
      write64(vla_isa::REG_DATA_BASE_0 + 8 * c, vla::Images::data_base(c));
    }
    for (int m = 0; m < kWeightMasters; ++m) {
      write64(vla_isa::REG_WEIGHT_BASE_0 + 8 * m, vla::Images::weight_base(m));
    }
    write(vla_isa::REG_START_PACKET, options.start_packet);
    write(vla_isa::REG_GLOBAL_INTERRUPT, 1);
    write(vla_isa::REG_INTERRUPT_ENABLE, 1);
    write(vla_isa::REG_CONTROL, 1);
    const uint64_t limit = options.max_cycles ? now_ + options.max_cycles : UINT64_MAX;
    while (!top_->interrupt_o && now_ < limit && message_.empty() && !context_->gotError()) tick();
    result.timed_out = !top_->interrupt_o && now_ >= limit;
    if (top_->interrupt_o) collect(result);
    images_.get(data, data_bytes);
    if (context_->gotError() && message_.empty()) message_ = "an assertion failed; it is on standard error";
#if VM_COVERAGE
    if (const char* path = std::getenv("VLA_COVERAGE")) context_->coveragep()->write(path);  // of this run alone
#endif
    return message_.empty() ? 0 : 1;
  }

  void leave(uint64_t seed) { leftovers_ = seed; }
  const char* message() const { return message_.c_str(); }
  Top* top() { return top_.get(); }

 private:
  void make_model() {
    top_.reset();
    context_ = std::make_unique<VerilatedContext>();
    context_->fatalOnError(false);
    context_->randReset(2);  // registers without a reset start random where the model is built for it
    context_->randSeed(1);
    top_ = std::make_unique<Top>(context_.get(), "");
    top_->s_axi_control_awvalid = top_->s_axi_control_wvalid = top_->s_axi_control_bready = 0;
    top_->s_axi_control_arvalid = top_->s_axi_control_rready = 0;
    now_ = 0;
  }

  // After reset: registers that start random may write once before.
  void clear() {
    vla::clear(vla::act_rams(*top_->rootp));
    vla::clear(vla::weight_rams<kBlock>(*top_->rootp));
    vla::clear(vla::param_rams<kBlock>(*top_->rootp));
  }

  // Random bytes in the on-chip memories.
  void litter(uint64_t seed) {
    vla::fill(vla::act_rams(*top_->rootp), seed);
    vla::fill(vla::weight_rams<kBlock>(*top_->rootp), seed + 1);
    vla::fill(vla::param_rams<kBlock>(*top_->rootp), seed + 2);
  }

  void connect(const vla_options& options) {
    const vla::Timing timing{options.latency, options.outstanding, options.stall_percent * 256 / 100};
    uint64_t seed = options.stall_seed * 64;
    for (auto& port : in_) port.reset(timing, images_.memory(), seed += 2);
    for (auto& port : out_) port.reset(timing, images_.memory(), seed += 2);
    for (auto& port : weight_) port.reset(timing, images_.memory(), seed += 2);
  }

  void reset() {
    top_->rst_i = 1;
    for (int i = 0; i < 4; ++i) tick();
    top_->rst_i = 0;
    tick();
  }

  // One clock cycle.
  void tick() {
    drive_weight();
    drive_in();
    drive_out();
    top_->clk_i = 0;
    top_->eval();
    if (!top_->rst_i) {  // before, the ports say nothing
      sample_weight();
      sample_in();
      sample_out();
    }
    top_->clk_i = 1;
    top_->eval();
    ++now_;
  }

  VLA_READ_GROUP(weight, weight_, kWeightMasters)
  VLA_READ_GROUP(in, in_, kInMasters)

  void drive_out() {
    for (int i = 0; i < kOutMasters; ++i) {
      bool error = false;
      set_field(top_->m_axi_out_awready, i, 1, out_[i].drive_ready());
      set_field(top_->m_axi_out_wready, i, 1, out_[i].drive_beat_ready());
      set_field(top_->m_axi_out_bvalid, i, 1, out_[i].drive_answer(now_, error));
      set_field(top_->m_axi_out_bresp, i, 2, error ? 3 : 0);
    }
  }

  void sample_out() {
    for (int i = 0; i < kOutMasters; ++i) {
      vla::Address a;
      const bool aw_valid = field(top_->m_axi_out_awvalid, i, 1);
      if (aw_valid) a = VLA_ADDRESS(out, aw, i);
      uint32_t strobe;
      std::memcpy(&strobe, vla::lane_bytes(top_->m_axi_out_wstrb, i, 4), 4);
      report(out_[i].sample(now_, aw_valid, a, field(top_->m_axi_out_wvalid, i, 1),
                            vla::lane_bytes(top_->m_axi_out_wdata, i, 32), strobe,
                            field(top_->m_axi_out_wlast, i, 1), field(top_->m_axi_out_bready, i, 1)), "out", i);
    }
  }

  static vla::Address address(const uint8_t* addr, uint64_t len, uint64_t size, uint64_t burst) {
    vla::Address a;
    std::memcpy(&a.addr, addr, 8);
    a.len = len;
    a.size = size;
    a.burst = burst;
    return a;
  }

  void report(const char* wrong, const char* group, int master) {
    if (!wrong || !message_.empty()) return;
    message_ = std::string(wrong) + " (" + group + " master " + std::to_string(master) + ", cycle " +
               std::to_string(now_) + ")";
  }

  // AXI4-Lite, one access at a time.
  void write(uint32_t offset, uint32_t value) {
    top_->s_axi_control_awaddr = offset;
    top_->s_axi_control_wdata = value;
    top_->s_axi_control_wstrb = 0xF;
    top_->s_axi_control_awvalid = top_->s_axi_control_wvalid = top_->s_axi_control_bready = 1;
    for (int i = 0; i < kLiteTimeout && !top_->s_axi_control_bvalid; ++i) {
      const bool address_taken = top_->s_axi_control_awready, data_taken = top_->s_axi_control_wready;
      tick();
      if (address_taken) top_->s_axi_control_awvalid = 0;
      if (data_taken) top_->s_axi_control_wvalid = 0;
    }
    if (!top_->s_axi_control_bvalid) report("the control port does not answer a write", "control", 0);
    tick();
    top_->s_axi_control_bready = 0;
  }

  void write64(uint32_t offset, uint64_t value) {
    write(offset, static_cast<uint32_t>(value));
    write(offset + 4, static_cast<uint32_t>(value >> 32));
  }

  uint32_t read(uint32_t offset) {
    top_->s_axi_control_araddr = offset;
    top_->s_axi_control_arvalid = 1;
    for (int i = 0; i < kLiteTimeout && !top_->s_axi_control_rvalid; ++i) {
      const bool taken = top_->s_axi_control_arready;
      tick();
      if (taken) top_->s_axi_control_arvalid = 0;
    }
    if (!top_->s_axi_control_rvalid) report("the control port does not answer a read", "control", 0);
    const uint32_t value = top_->s_axi_control_rdata;
    top_->s_axi_control_rready = 1;
    tick();
    top_->s_axi_control_rready = 0;
    return value;
  }

  uint64_t read64(uint32_t offset) {
    const uint64_t low = read(offset);
    return low | static_cast<uint64_t>(read(offset + 4)) << 32;
  }

  void collect(vla_result& result) {
    result.done = read(vla_isa::REG_CONTROL) >> 1 & 1;
    write(vla_isa::REG_INTERRUPT_STATUS, read(vla_isa::REG_INTERRUPT_STATUS));
    result.status = read(vla_isa::REG_STATUS);
    result.error_addr = read64(vla_isa::REG_ERROR_ADDR);
    result.halt_code = read(vla_isa::REG_HALT_CODE);
    for (int i = 0; i < vla_isa::kCounters; ++i) result.counters[i] = read64(vla_isa::kCounterBase + 8 * i);
  }

  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Top> top_;
  vla::Images images_;
  vla::ReadPort weight_[kWeightMasters];
  vla::ReadPort in_[kInMasters];
  vla::WritePort out_[kOutMasters];
  uint64_t now_ = 0;
  uint64_t leftovers_ = 0;  // not 0: the next run goes on where the last one ended, with this seed's bytes on chip
  std::string message_;
};

Machine& machine(void* handle) { return *static_cast<Machine*>(handle); }

int peek(bool copied) { return copied ? 0 : 1; }

}  // namespace

// For tests of this machine, not a part of vla_api.h: the next run has no reset and finds random bytes on chip (seed not
// 0); a machine that has not run yet is reset. The memory's latency and stalls stay those of the first run.
extern "C" void vla_test_leftovers(void* handle, uint64_t seed);

uint32_t vla_api_version(void) { return VLA_API_VERSION; }

void vla_describe(vla_machine* machine) {
  using Root = Vvla_core___024root;
  *machine = {VLA_PIXELS, kBlock, vla::act_words<Root>(), vla::weight_words<Root>(), vla::param_words<Root>(), 1};
}

void* vla_create(void) { return new Machine; }

void vla_destroy(void* handle) { delete static_cast<Machine*>(handle); }

int vla_run(void* handle, uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
            const vla_options* options, vla_result* result) {
  return machine(handle).run(data, data_bytes, weights, weight_bytes, *options, *result);
}

void vla_test_leftovers(void* handle, uint64_t seed) { machine(handle).leave(seed); }

const char* vla_message(void* handle) { return machine(handle).message(); }

int vla_peek_act(void* handle, uint8_t* out, uint64_t bytes) {
  Top* top = machine(handle).top();
  return peek(top && vla::copy(vla::act_rams(*top->rootp), out, bytes));
}

int vla_peek_weight(void* handle, uint8_t* out, uint64_t bytes) {
  Top* top = machine(handle).top();
  return peek(top && vla::copy(vla::weight_rams<kBlock>(*top->rootp), out, bytes));
}

int vla_peek_param(void* handle, uint8_t* out, uint64_t bytes) {
  Top* top = machine(handle).top();
  return peek(top && vla::copy(vla::param_rams<kBlock>(*top->rootp), out, bytes));
}
