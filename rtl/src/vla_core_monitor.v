// Decide when a run ends and with which status.
// Does: record the error of the oldest packet that meets one, with its address; after an error let only packets
// start that are older than its own (one of them may fail too, and comes first in program order); end the run
// when what has started is complete; end it at HALT; notice a deadlock.
// Does not: clear anything but its own registers. The owner clears queues and semaphores at start_i.
// Errors: an engine tells an AXI error when the packet is done, so it names the oldest packet in that engine; an
// overflow names the packet that signals, a deadlock the oldest packet without its semaphores. An illegal packet
// waits at dispatch until all before it is complete, so it comes last.
// Latency: done_o is high for one cycle, at the earliest two cycles after HALT is through; status_o and
// error_addr_o hold until the next start. A deadlock is told after QuietCycles cycles without movement.
`default_nettype none
`include "vla_isa.vh"
module vla_core_monitor #(
  parameter QuietCycles = 64  // at most 255
) (
  input  wire         clk_i,
  input  wire         rst_i,
  input  wire         start_i,
  output wire         stop_o,        // fetch stops
  output reg  [4:0]   queue_stop_o,  // the head of this queue may not start
  output wire         done_o,
  output reg  [3:0]   status_o,
  output reg  [37:0]  error_addr_o,
  output reg  [31:0]  halt_code_o,
  // fetch
  input  wire         fetch_stalled_i,
  input  wire         fetch_waiting_i,
  input  wire         fetch_fault_i,
  input  wire [3:0]   fetch_fault_code_i,
  input  wire         fetch_halted_i,
  input  wire [31:0]  fetch_halt_code_i,
  input  wire [37:0]  fetch_addr_i,
  input  wire [31:0]  fetch_seq_i,
  // queues, five lanes
  input  wire [4:0]   head_waiting_i,
  input  wire [189:0] head_addr_i,
  input  wire [159:0] head_seq_i,
  input  wire [189:0] running_addr_i,
  input  wire [159:0] running_seq_i,
  input  wire         busy_i,          // some engine has a packet
  // errors
  input  wire         zero_i,          // all semaphores are zero
  input  wire         overflow_i,
  input  wire [2:0]   overflow_client_i,
  input  wire         wload_error_i,
  input  wire         load_error_i,
  input  wire         store_error_i
);

  reg        running_q;
  reg        ending_q;  // what ends the run is known, packets older than its own complete
  reg [31:0] limit_q;   // number of that packet

  // oldest packet without its semaphores; nothing in a queue is younger than the packet at dispatch
  reg  [37:0] oldest_addr;
  reg  [31:0] oldest_seq;
  reg         found;
  integer i;
  always @(*) begin
    oldest_addr = fetch_addr_i;
    oldest_seq  = fetch_seq_i;
    found       = 1'b0;
    for (i = 0; i < 5; i = i + 1) begin
      if (head_waiting_i[i] && (!found || head_seq_i[32*i +: 32] < oldest_seq)) begin
        oldest_addr = head_addr_i[38*i +: 38];
        oldest_seq  = head_seq_i[32*i +: 32];
        found       = 1'b1;
      end
    end
  end

  // after an error: packets older than its own go on
  wire    older_left = found && oldest_seq < limit_q;
  integer n;
  always @(*) begin
    for (n = 0; n < 5; n = n + 1) begin
      queue_stop_o[n] = !running_q || (ending_q && head_seq_i[32*n +: 32] >= limit_q);
    end
  end

  // deadlock: nothing moves, something waits
  reg  [7:0] quiet_q;
  wire       waits    = ending_q ? older_left : fetch_stalled_i && (found || fetch_waiting_i);
  wire       quiet    = running_q && !busy_i && waits;
  wire       deadlock = quiet_q == QuietCycles[7:0];

  // the oldest packet that meets an error in this cycle; fetch's is younger than those in the engines
  wire [4:0] unfinished = {store_error_i, 2'b00, load_error_i, wload_error_i};
  reg        fails;
  reg [3:0]  fail_status;
  reg [37:0] fail_addr;
  reg [31:0] fail_seq;
  integer k;
  always @(*) begin
    fails       = overflow_i && overflow_client_i == 3'd5;
    fail_status = `VLA_ERROR_SEMAPHORE_OVERFLOW;
    fail_addr   = fetch_addr_i;
    fail_seq    = fetch_seq_i;
    for (k = 0; k < 5; k = k + 1) begin
      if ((unfinished[k] || (overflow_i && overflow_client_i == k[2:0]))
          && (!fails || running_seq_i[32*k +: 32] < fail_seq)) begin
        fails       = 1'b1;
        fail_status = !unfinished[k] ? `VLA_ERROR_SEMAPHORE_OVERFLOW
                      : k == 4 ? `VLA_ERROR_AXI_WRITE : `VLA_ERROR_AXI_READ;
        fail_addr   = running_addr_i[38*k +: 38];
        fail_seq    = running_seq_i[32*k +: 32];
      end
    end
  end

  // what ends the run now
  reg        end_d;
  reg [3:0]  status_d;
  reg [37:0] addr_d;
  reg [31:0] seq_d;
  always @(*) begin
    end_d    = 1'b1;
    status_d = `VLA_ERROR_OK;
    addr_d   = fetch_addr_i;
    seq_d    = fetch_seq_i;
    if (fails) begin
      status_d = fail_status;
      addr_d   = fail_addr;
      seq_d    = fail_seq;
    end else if (deadlock) begin
      status_d = `VLA_ERROR_DEADLOCK;
      addr_d   = oldest_addr;
      seq_d    = oldest_seq;
    end else if (fetch_fault_i) begin
      status_d = fetch_fault_code_i;
    end else if (fetch_halted_i) begin
      status_d = zero_i ? `VLA_ERROR_OK : `VLA_ERROR_SEMAPHORE_LEFT;
    end else begin
      end_d = 1'b0;
    end
  end
  wire record = running_q && end_d && (!ending_q || seq_d < limit_q);

  assign stop_o = !running_q || ending_q;
  assign done_o = ending_q && !busy_i && !older_left;

  always @(posedge clk_i) begin
    if (rst_i) begin
      running_q <= 1'b0;
      ending_q  <= 1'b0;
      quiet_q   <= 8'd0;
    end else begin
      if (start_i)     running_q <= 1'b1;
      else if (done_o) running_q <= 1'b0;
      if (done_o)      ending_q <= 1'b0;
      else if (record) ending_q <= 1'b1;
      quiet_q <= quiet ? quiet_q + 8'd1 : 8'd0;
    end
  end

  always @(posedge clk_i) begin
    if (rst_i || start_i) begin
      status_o     <= `VLA_ERROR_OK;
      error_addr_o <= 38'd0;
      halt_code_o  <= 32'd0;
      limit_q      <= 32'd0;
    end else if (record) begin
      status_o     <= status_d;
      error_addr_o <= status_d == `VLA_ERROR_OK ? 38'd0 : addr_d;
      halt_code_o  <= fetch_halted_i && zero_i ? fetch_halt_code_i : 32'd0;
      limit_q      <= seq_d;
    end
  end

endmodule
`default_nettype wire
