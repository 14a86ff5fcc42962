// Runs a job of COPY packets on copy_side with the reference memory (rtl/sim/memory_model.h) and writes what
// became of the memories. Use: bench JOB RESULT; copy_bench.py describes both files.
#include <cstdio>
#include <string>
#include <vector>

#include "Vcopy_side.h"
#include "memory_model.h"
#include "verilated.h"

namespace {

using Top = Vcopy_side;
using vla::field;
using vla::lane_bytes;
using vla::set_field;

constexpr int kWeightMasters = sizeof(std::declval<Top>().weight_r_data_i) / vla::kBeat;
constexpr int kInMasters = sizeof(std::declval<Top>().in_r_data_i) / vla::kBeat;
constexpr int kOutMasters = sizeof(std::declval<Top>().out_w_data_o) / vla::kBeat;
constexpr uint64_t kActBytes = sizeof(std::declval<Top>().peek_act_o);
constexpr uint64_t kWeightBytes = sizeof(std::declval<Top>().peek_weight_o);
constexpr uint64_t kParamBytes = sizeof(std::declval<Top>().peek_param_o);
constexpr int kQueues = 3;
constexpr int kReadCycles = 3;  // of the slowest memory, from an address to its word

struct Head {
  uint64_t act_words, weight_words, param_words, data_bytes, weight_space_bytes;
  uint64_t packets[kQueues];
  uint64_t latency, outstanding, stall, noise, seed, limit;
};

struct Packet {
  uint32_t words[16];
};

struct Record {
  uint64_t accepted, done, failed;
};

struct Bench {
  Top top;
  Head head{};
  std::vector<uint8_t> act, data, weights;
  std::vector<Packet> packets[kQueues];
  std::vector<Record> records[kQueues];
  vla::Images images;
  vla::ReadPort weight[kWeightMasters];
  vla::ReadPort in[kInMasters];
  vla::WritePort out[kOutMasters];
  vla::Stalls noise;
  uint64_t now = 0;
  std::string wrong;

  template <class Port>
  static vla::Address address(Port& addr, uint64_t len, int master) {
    vla::Address a;
    std::memcpy(&a.addr, lane_bytes(addr, master, 8), 8);
    a.len = len;
    a.size = 5;
    a.burst = 1;
    return a;
  }
  void report(const char* what, const char* group, int master) {
    if (what && wrong.empty())
      wrong = std::string(what) + ": " + group + " " + std::to_string(master) + ", cycle " + std::to_string(now);
  }

#define READ_GROUP(group, count)                                                                         \
  void drive_##group() {                                                                                 \
    for (int i = 0; i < count; ++i) {                                                                    \
      bool last = false, error = false;                                                                  \
      set_field(top.group##_ar_ready_i, i, 1, group[i].drive_ready());                                   \
      const bool valid = group[i].drive_beat(now, lane_bytes(top.group##_r_data_i, i, 32), last, error); \
      set_field(top.group##_r_valid_i, i, 1, valid);                                                     \
      set_field(top.group##_r_last_i, i, 1, last);                                                       \
      set_field(top.group##_r_error_i, i, 1, error);                                                     \
    }                                                                                                    \
  }                                                                                                      \
  void sample_##group() {                                                                                \
    for (int i = 0; i < count; ++i) {                                                                    \
      const bool valid = field(top.group##_ar_valid_o, i, 1);                                            \
      const uint64_t len = *lane_bytes(top.group##_ar_len_o, i, 1);                                      \
      const vla::Address a = valid ? address(top.group##_ar_addr_o, len, i) : vla::Address();            \
      report(group[i].sample(now, valid, a, field(top.group##_r_ready_o, i, 1)), #group, i);             \
    }                                                                                                    \
  }
  READ_GROUP(weight, kWeightMasters)
  READ_GROUP(in, kInMasters)
#undef READ_GROUP

  void drive_out() {
    for (int i = 0; i < kOutMasters; ++i) {
      bool error = false;
      set_field(top.out_aw_ready_i, i, 1, out[i].drive_ready());
      set_field(top.out_w_ready_i, i, 1, out[i].drive_beat_ready());
      set_field(top.out_b_valid_i, i, 1, out[i].drive_answer(now, error));
      set_field(top.out_b_error_i, i, 1, error);
    }
  }
  void sample_out() {
    for (int i = 0; i < kOutMasters; ++i) {
      const bool valid = field(top.out_aw_valid_o, i, 1);
      const uint64_t len = *lane_bytes(top.out_aw_len_o, i, 1);
      const vla::Address a = valid ? address(top.out_aw_addr_o, len, i) : vla::Address();
      uint32_t strobe;
      std::memcpy(&strobe, lane_bytes(top.out_w_strb_o, i, 4), 4);
      report(out[i].sample(now, valid, a, field(top.out_w_valid_o, i, 1), lane_bytes(top.out_w_data_o, i, 32),
                           strobe, field(top.out_w_last_o, i, 1), field(top.out_b_ready_o, i, 1)), "out", i);
    }
  }

  // Other users of the memories: each lane asks with the chance of the job.
  uint64_t flips(int count) {
    uint64_t bits = 0;
    for (int i = 0; i < count; ++i) bits = bits << 1 | noise.flip();
    return bits;
  }
  void drive_noise() {
    top.noise_rd_i = flips(14);
    top.noise_wr_i = flips(4);
    top.noise_param_i = flips(1);
    const uint64_t mixed = (now + head.seed) * 0x9E3779B97F4A7C15ull;
    top.noise_rd_bank_i = (mixed ^ mixed >> 29) & ((1ull << 56) - 1);
    top.noise_wr_bank_i = mixed >> 40 & 0xFFFF;
  }

  // A clock cycle: everything settles, then the edge.
  void settle() {
    drive_weight();
    drive_in();
    drive_out();
    top.clk_i = 0;
    top.eval();
    sample_weight();
    sample_in();
    sample_out();
  }
  void edge() {
    top.clk_i = 1;
    top.eval();
    ++now;
  }
  void tick() {
    settle();
    edge();
  }

  void connect() {
    const vla::Timing timing{head.latency, static_cast<uint32_t>(head.outstanding),
                             static_cast<uint32_t>(head.stall)};
    uint64_t seed = head.seed * 64;
    images.put(data.data(), data.size(), weights.data(), weights.size(), kWeightBytes, kWeightMasters);
    for (auto& port : in) port.reset(timing, images.memory(), seed += 2);
    for (auto& port : out) port.reset(timing, images.memory(), seed += 2);
    for (auto& port : weight) port.reset(timing, images.memory(), seed += 2);
    noise.reset(seed + 2, head.noise);
  }

  void poke_act() {
    top.poke_i = 1;
    for (uint64_t a = 0; a < head.act_words; ++a) {
      top.peek_addr_i = a;
      std::memcpy(lane_bytes(top.poke_data_i, 0, 1), &act[a * kActBytes], kActBytes);
      tick();
    }
    top.poke_i = 0;
  }

  // Offers each queue's packets in order until all are done; every done belongs to the oldest packet.
  void run() {
    uint64_t next[kQueues] = {}, done[kQueues] = {};
    now = 0;
    for (bool busy = true; busy && wrong.empty();) {
      drive_noise();
      for (int q = 0; q < kQueues; ++q) {
        set_field(top.packet_valid_i, q, 1, next[q] < packets[q].size());
        if (next[q] < packets[q].size())
          std::memcpy(lane_bytes(top.packet_i, q, 64), packets[q][next[q]].words, 64);
      }
      settle();
      for (int q = 0; q < kQueues; ++q) {
        const uint64_t failed = field(top.error_o, q, 1) | field(top.index_o, q, 1) << 1;
        if (failed && !field(top.done_o, q, 1)) report("an error without done", "queue", q);
        if (field(top.done_o, q, 1)) {
          if (done[q] == next[q]) {
            report("done without a packet", "queue", q);
          } else {
            records[q][done[q]].failed = failed;
            records[q][done[q]++].done = now;
          }
        }
        if (field(top.packet_valid_i, q, 1) && field(top.packet_ready_o, q, 1)) records[q][next[q]++].accepted = now;
        if (next[q] - done[q] > 2) report("more than two packets held", "queue", q);
      }
      edge();
      busy = false;
      for (int q = 0; q < kQueues; ++q) busy |= done[q] < packets[q].size();
      if (now > head.limit) report("not done", "limit", 0);
    }
    top.noise_rd_i = top.noise_wr_i = top.noise_param_i = 0;
    for (int q = 0; q < kQueues; ++q) if (field(top.active_o, q, 1)) report("active after the end", "queue", q);
  }

  template <class Port>
  std::vector<uint8_t> peek(Port& port, uint64_t words, uint64_t bytes) {
    std::vector<uint8_t> found(words * bytes);
    top.peek_i = 1;
    for (uint64_t a = 0; a < words; ++a) {
      top.peek_addr_i = a;
      for (int i = 0; i < kReadCycles; ++i) tick();
      std::memcpy(&found[a * bytes], lane_bytes(port, 0, 1), bytes);
    }
    top.peek_i = 0;
    return found;
  }

  template <class Port>
  static void put64(Port& port, int lane, uint64_t value) {
    std::memcpy(lane_bytes(port, lane, 8), &value, 8);
  }

  void all() {
    for (int c = 0; c < vla_isa::kDataChannels; ++c) put64(top.data_bases_i, c, vla::Images::data_base(c));
    for (int m = 0; m < kWeightMasters; ++m) put64(top.weight_bases_i, m, vla::Images::weight_base(m));
    connect();
    top.rst_i = 1;
    for (int i = 0; i < 4; ++i) tick();
    top.rst_i = 0;
    tick();
    poke_act();
    connect();
    run();
    images.get(data.data(), data.size());
  }
};

template <class T>
void get(std::FILE* file, std::vector<T>& to, uint64_t count) {
  to.resize(count);
  if (std::fread(to.data(), sizeof(T), count, file) != count) std::exit(3);
}
template <class T>
void put(std::FILE* file, const std::vector<T>& from) {
  std::fwrite(from.data(), sizeof(T), from.size(), file);
}

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  static Bench bench;
  std::FILE* job = std::fopen(argv[1], "rb");
  if (!job || std::fread(&bench.head, sizeof(Head), 1, job) != 1) return 3;
  get(job, bench.act, bench.head.act_words * kActBytes);
  get(job, bench.data, bench.head.data_bytes);
  get(job, bench.weights, bench.head.weight_space_bytes);
  for (int q = 0; q < kQueues; ++q) {
    get(job, bench.packets[q], bench.head.packets[q]);
    bench.records[q].resize(bench.head.packets[q]);
  }
  std::fclose(job);
  bench.all();
  if (!bench.wrong.empty()) {
    std::fprintf(stderr, "%s\n", bench.wrong.c_str());
    return 1;
  }
  const uint64_t cycles = bench.now;
  const auto act = bench.peek(bench.top.peek_act_o, bench.head.act_words, kActBytes);
  const auto weight = bench.peek(bench.top.peek_weight_o, bench.head.weight_words, kWeightBytes);
  const auto param = bench.peek(bench.top.peek_param_o, bench.head.param_words, kParamBytes);
  std::FILE* result = std::fopen(argv[2], "wb");
  if (!result) return 3;
  std::fwrite(&cycles, 8, 1, result);
  for (int q = 0; q < kQueues; ++q) put(result, bench.records[q]);
  put(result, act);
  put(result, bench.data);
  put(result, weight);
  put(result, param);
  std::fclose(result);
  return 0;
}
