// Run CONV and GEMM packets on vla_mac_engine with behavioural memories that follow rtl/README.md.
//
//   bench JOB LOG
//
// JOB: 8 x u32 (packets, activation words, weight words, parameter words, block, percent of refused grants,
// seed, percent of cycles without a packet on offer), then the activation, weight and parameter words, the
// packets. LOG: 5 x u64 a packet (cycle accepted, cycle done, words written, cycles the array multiplied,
// cycles with a conflict), then all writes in order: u32 address and the word. Prints the simulated cycles
// per second. Exit code 1 and a message when a handshake is broken or the engine hangs.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vvla_mac_engine.h"
#include "verilated.h"

namespace {

constexpr int kBanks = 16, kMaxReads = 16, kMaxWrites = 8;
constexpr int kReadCycles = 3;      // from a granted read to its word
constexpr uint64_t kHang = 200000;  // cycles without a write or a done

uint64_t g_random;
uint32_t draw() {  // xorshift64*
  g_random ^= g_random >> 12;
  g_random ^= g_random << 25;
  g_random ^= g_random >> 27;
  return static_cast<uint32_t>((g_random * 0x2545F4914F6CDD1DULL) >> 32);
}
bool percent(uint32_t p) { return p && draw() % 100 < p; }

[[noreturn]] void fail(const char* what, uint64_t cycle) {
  std::fprintf(stderr, "bench: %s in cycle %llu\n", what, static_cast<unsigned long long>(cycle));
  std::exit(1);
}

uint32_t bits(const void* port, size_t size, int lsb, int width) {  // at most 24 bits of a port
  const uint8_t* bytes = static_cast<const uint8_t*>(port);
  uint64_t word = 0;
  for (size_t i = lsb / 8, k = 0; k < 5 && i < size; ++i, ++k) word |= static_cast<uint64_t>(bytes[i]) << (8 * k);
  return static_cast<uint32_t>(word >> (lsb % 8)) & ((1u << width) - 1);
}

int log2_of(uint32_t n) {
  int k = 0;
  while ((1u << k) < n) ++k;
  return k;
}

std::vector<uint8_t> take(FILE* file, size_t size) {
  std::vector<uint8_t> out(size);
  if (std::fread(out.data(), 1, size, file) != size) std::exit(2);
  return out;
}

// The words of a cycle's grants.
struct Words {
  uint32_t valid = 0;
  uint8_t bytes[kMaxReads * 16] = {};
};

struct Lane {
  bool holding = false;  // a request that was not granted must not change
  uint32_t addr = 0;
};

// One cycle of lanes that share 16 banks: lower lanes first; the first `sure` ones must not ask for two rows of a bank
// and are granted. Returns the grants.
uint32_t arbitrate(Lane* lanes, uint32_t valid, const uint32_t* addr, int count, int sure, bool share, uint32_t stalls,
                   uint64_t cycle) {
  int64_t bank[kBanks];
  std::memset(bank, -1, sizeof bank);
  uint32_t grants = 0;
  for (int i = 0; i < count; ++i) {
    const bool on = (valid >> i) & 1;
    if (lanes[i].holding && (!on || addr[i] != lanes[i].addr)) fail("a request changed before its grant", cycle);
    int64_t& user = bank[addr[i] % kBanks];
    const bool fits = user < 0 || (share && user == addr[i]);
    if (on && i < sure && !fits) fail("two operands ask for two rows of a bank", cycle);
    const bool grant = on && fits && (i < sure || !percent(stalls));
    if (grant) {
      user = addr[i];
      grants |= 1u << i;
    }
    lanes[i].holding = on && !grant;
    lanes[i].addr = addr[i];
  }
  return grants;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  FILE* job = std::fopen(argv[1], "rb");
  uint32_t head[8];
  if (!job || std::fread(head, 4, 8, job) != 8) return 2;
  const uint32_t packets = head[0], block = head[4], stalls = head[5], gaps = head[7];
  const int act_aw = log2_of(head[1]);
  std::vector<uint8_t> act = take(job, size_t(head[1]) * block), weight = take(job, size_t(head[2]) * block * block);
  std::vector<uint8_t> param = take(job, size_t(head[3]) * 8 * block), program = take(job, size_t(packets) * 64);
  std::fclose(job);
  g_random = head[6] * 2654435761u + 88172645463325252ULL;

  VerilatedContext context;
  Vvla_mac_engine top(&context);
  const int pixels = static_cast<int>(sizeof top.op_rd_data_i / block);
  const int group = static_cast<int>(sizeof top.wr_data_o / block);  // pixels requantized at once
  const int reads = pixels + group;
  std::vector<uint64_t> accepted, done, counts(size_t(packets) * 3);
  std::vector<uint8_t> writes;
  Lane read_lanes[kMaxReads], write_lanes[kMaxWrites];
  Words coming[kReadCycles];
  bool offering = false;
  uint64_t quiet = 0, cycle = 0;

  top.rst_i = 1;
  for (int i = 0; i < 8; ++i) {
    top.clk_i = i & 1;
    top.eval();
  }
  top.rst_i = 0;
  top.packet_valid_i = 0;
  const auto begin = std::chrono::steady_clock::now();

  for (; done.size() < packets; ++cycle) {
    if (!offering) offering = accepted.size() < packets && !percent(gaps);
    top.packet_valid_i = offering;
    if (offering) std::memcpy(&top.packet_i, &program[accepted.size() * 64], 64);

    const uint32_t op_valid = top.op_rd_valid_o, valid = op_valid | top.res_rd_valid_o << pixels;
    const uint32_t wr_valid = top.wr_valid_o;
    uint32_t addr[kMaxReads], wr_addr[kMaxWrites];
    for (int i = 0; i < pixels; ++i) addr[i] = bits(&top.op_rd_addr_o, sizeof top.op_rd_addr_o, i * act_aw, act_aw);
    for (int i = 0; i < group; ++i) {
      addr[pixels + i] = bits(&top.res_rd_addr_o, sizeof top.res_rd_addr_o, i * act_aw, act_aw);
      wr_addr[i] = bits(&top.wr_addr_o, sizeof top.wr_addr_o, i * act_aw, act_aw);
    }
    const uint32_t grant = arbitrate(read_lanes, valid, addr, reads, pixels, true, stalls, cycle);
    const uint32_t wr_grant = arbitrate(write_lanes, wr_valid, wr_addr, group, 0, false, stalls, cycle);
    const bool param_grant = top.param_rd_valid_o && !percent(stalls);
    const uint32_t param_addr = top.param_rd_addr_o, weight_addr = top.weight_rd_addr_o;
    const bool weight_en = top.weight_rd_en_o;
    top.res_rd_grant_i = grant >> pixels;
    top.wr_grant_i = wr_grant;
    top.param_rd_grant_i = param_grant;
    top.clk_i = 0;
    top.eval();
    if (op_valid != top.op_rd_valid_o || wr_valid != top.wr_valid_o) fail("valid depends on grant", cycle);

    if (top.done_o) {
      if (done.size() >= accepted.size()) fail("done without a packet", cycle);
      done.push_back(cycle);
      quiet = 0;
      if (done.size() == packets) break;
    }
    if (accepted.size() > done.size() && !top.active_o) fail("a packet is held but active_o is low", cycle);
    if ((valid || weight_en || wr_valid) && done.size() >= accepted.size()) fail("memory access after done", cycle);
    uint64_t* count = &counts[done.size() * 3];
    count[1] += top.count_busy_o;
    count[2] += top.count_conflict_o;
    for (int i = 0; i < group; ++i) {
      if (!((wr_grant >> i) & 1)) continue;
      quiet = 0;
      ++count[0];
      const uint8_t* word = reinterpret_cast<const uint8_t*>(&top.wr_data_o) + i * block;
      const uint8_t* where = reinterpret_cast<const uint8_t*>(&wr_addr[i]);
      writes.insert(writes.end(), where, where + 4);
      writes.insert(writes.end(), word, word + block);
    }
    // what this cycle's grants give is on the data ports kReadCycles later, and only then
    Words& now = coming[cycle % kReadCycles];
    const Words& next = coming[(cycle + 1) % kReadCycles];
    now.valid = grant;
    std::memset(now.bytes, 0xA5, sizeof now.bytes);
    for (int i = 0; i < reads; ++i)
      if ((grant >> i) & 1) std::memcpy(now.bytes + i * block, &act[size_t(addr[i]) * block], block);
    for (int i = 0; i < group; ++i)
      if ((wr_grant >> i) & 1)
        std::memcpy(&act[size_t(wr_addr[i]) * block], reinterpret_cast<const uint8_t*>(&top.wr_data_o) + i * block, block);
    if (offering && top.packet_ready_o) {
      accepted.push_back(cycle);
      offering = false;
    }
    top.clk_i = 1;
    top.eval();
    top.op_rd_word_i = next.valid & ((1u << pixels) - 1);
    top.res_rd_word_i = next.valid >> pixels;
    std::memcpy(&top.op_rd_data_i, next.bytes, size_t(pixels) * block);
    std::memcpy(&top.res_rd_data_i, next.bytes + pixels * block, size_t(group) * block);
    if (weight_en) std::memcpy(&top.weight_rd_data_i, &weight[size_t(weight_addr) * block * block], size_t(block) * block);
    if (param_grant) std::memcpy(&top.param_rd_data_i, &param[size_t(param_addr) * 8 * block], size_t(8) * block);
    else std::memset(&top.param_rd_data_i, 0x5A, size_t(8) * block);
    if (++quiet > kHang) fail("nothing happens any more", cycle);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%.0f\n", static_cast<double>(cycle) / seconds);

  top.packet_valid_i = 0;
  for (int i = 0; i < 100; ++i) {
    top.clk_i = i & 1;
    top.eval();
    if (i > 1 && (top.done_o || top.active_o || top.op_rd_valid_o || top.wr_valid_o || top.param_rd_valid_o))
      fail("activity after the last packet", cycle);
  }

  FILE* log = std::fopen(argv[2], "wb");
  if (!log) return 2;
  for (uint32_t i = 0; i < packets; ++i) {
    const uint64_t record[5] = {accepted[i], done[i], counts[3 * i], counts[3 * i + 1], counts[3 * i + 2]};
    std::fwrite(record, 8, 5, log);
  }
  std::fwrite(writes.data(), 1, writes.size(), log);
  return std::fclose(log) ? 2 : 0;
}
