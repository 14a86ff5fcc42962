// Decide when a run ends and with which status.
// Does: record the error of the oldest packet that meets one, with its address; after an error let only packets
// start that are older than its own (one of them may fail too, and comes first in program order); end the run
// when what has started is complete; end it at HALT; notice a deadlock.
// Does not: clear anything but its own registers. The owner clears queues and semaphores at start_i.
// Errors: an engine tells an AXI error or a wrong item when the packet is done, so it names the oldest packet in that engine; an
// overflow comes two cycles after its signal and names the packet that signalled, a deadlock the oldest packet without
// its semaphores. An illegal packet waits at dispatch until all before it is complete, so it comes last.
// Latency: an error is recorded four cycles after the packet was done, so busy_i stays high for three cycles after
// the last one is done; done_o is high for one cycle, some cycles after HALT is through; status_o and error_addr_o hold until
// the next start. A deadlock is told after QuietCycles cycles without movement.
`default_nettype none
`include "vla_isa.vh"
module vla_core_monitor #(
  parameter QuietCycles = 64  // at most 255
) (
  input  wire         clk_i,
  input  wire         rst_i,
  input  wire         start_i,
  output wire         stop_o,        // fetch stops
  output wire [4:0]   queue_stop_o,  // the head of this queue may not start
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
  input  wire         busy_i,          // some engine has a packet, or had one a few cycles ago
  // errors
  input  wire         zero_i,          // all semaphores are zero
  input  wire         overflow_i,
  input  wire [2:0]   overflow_client_i,
  input  wire         wload_error_i,
  input  wire         load_error_i,
  input  wire         store_error_i,
  input  wire         load_index_i,        // the error is a wrong item of a GATHER
  input  wire         store_index_i
);

  localparam Settle = 2;  // cycles from a limit to what is left of older packets

  // A packet's number over its address.
  localparam PacketBits = 32 + 38;

  // The packet that is picked, by AND and OR.
  function [PacketBits-1:0] picked;
    input [5:0]              pick;
    input [6*PacketBits-1:0] packets;
    integer i;
    begin
      picked = {PacketBits{1'b0}};
      for (i = 0; i < 6; i = i + 1) picked = picked | ({PacketBits{pick[i]}} & packets[PacketBits*i +: PacketBits]);
    end
  endfunction

  reg        running_q;
  reg        ending_q;  // what ends the run is known, packets older than its own complete
  reg [31:0] limit_q;   // number of that packet

  // ---- heads: who waits, who is the oldest; fetch is source 5 ----
  wire [6*PacketBits-1:0] heads, running;
  wire [5:0]              waits = {1'b1, head_waiting_i};  // nothing in a queue is younger than what is at dispatch
  reg  [5:0]              waits_q;
  reg  [35:0]             head_before_q;   // bit [6 * a + b]: head a is older than head b
  wire [5:0]              oldest;
  reg  [4:0]              older_q;         // heads that wait and are older than the limit
  reg                     older_left_q;
  wire                    found = waits_q[4:0] != 5'd0;

  // ---- packets that may have failed: those done two cycles ago, when an overflow is told ----
  reg  [6*PacketBits-1:0] past_q, late_q;
  reg  [35:0]             late_before_q;   // of late_q, as head_before_q
  wire [5:0]              unread_past;
  reg  [5:0]              unfinished_q, unfinished_late_q;  // its last answer was an error
  reg  [5:0]              index_q, index_late_q;            // that error is a wrong item
  assign unread_past = {1'b0, store_error_i, 2'b00, load_error_i, wload_error_i};
  wire [5:0]              overflows = overflow_i ? 6'd1 << overflow_client_i : 6'd0;
  wire [5:0]              fails     = unfinished_late_q | overflows;
  wire [5:0]              fail;

  genvar a, b;
  generate
    for (a = 0; a < 5; a = a + 1) begin : g_queue
      assign heads[PacketBits*a +: PacketBits]   = {head_seq_i[32*a +: 32], head_addr_i[38*a +: 38]};
      assign running[PacketBits*a +: PacketBits] = {running_seq_i[32*a +: 32], running_addr_i[38*a +: 38]};
      assign queue_stop_o[a] = !running_q || (ending_q && head_seq_i[32*a +: 32] >= limit_q);
      always @(posedge clk_i) begin
        older_q[a] <= head_waiting_i[a] && head_seq_i[32*a +: 32] < limit_q;
      end
    end
    assign heads[PacketBits*5 +: PacketBits]   = {fetch_seq_i, fetch_addr_i};
    assign running[PacketBits*5 +: PacketBits] = {fetch_seq_i, fetch_addr_i};

    for (a = 0; a < 6; a = a + 1) begin : g_source
      wire [5:0] head_loses, fail_loses;
      for (b = 0; b < 6; b = b + 1) begin : g_other
        assign head_loses[b] = waits_q[b] && head_before_q[6*b + a];
        assign fail_loses[b] = fails[b] && late_before_q[6*b + a];
        always @(posedge clk_i) begin
          head_before_q[6*b + a] <= heads[PacketBits*b + 38 +: 32] < heads[PacketBits*a + 38 +: 32];
          late_before_q[6*b + a] <= past_q[PacketBits*b + 38 +: 32] < past_q[PacketBits*a + 38 +: 32];
        end
      end
      assign oldest[a] = waits_q[a] && head_loses == 6'd0;
      assign fail[a]   = fails[a] && fail_loses == 6'd0;
    end
  endgenerate

  always @(posedge clk_i) begin
    waits_q           <= waits;
    older_left_q      <= older_q != 5'd0;
    past_q            <= running;
    late_q            <= past_q;
    unfinished_q      <= rst_i ? 6'd0 : unread_past;
    unfinished_late_q <= rst_i ? 6'd0 : unfinished_q;
    index_q           <= {1'b0, store_index_i, 2'b00, load_index_i, 1'b0};
    index_late_q      <= index_q;
  end

  // ---- deadlock: nothing moves, something waits ----
  reg  [7:0] quiet_q;
  wire       stuck    = ending_q ? older_left_q : fetch_stalled_i && (found || fetch_waiting_i);
  wire       quiet    = running_q && !busy_i && stuck;
  wire       deadlock = quiet_q == QuietCycles[7:0];

  // ---- what ends the run now; fetch comes last, when what it waited for can have failed no more ----
  reg  [1:0]  fault_q, halted_q;  // the last cycles
  wire        fault  = fault_q == 2'b11;
  wire        halted = halted_q == 2'b11;
  reg         event_q;
  reg         event_halt_q;
  reg  [3:0]  event_status_q;
  reg  [31:0] event_seq_q;
  reg  [37:0] event_addr_q;
  wire [5:0]  write_fails  = 6'b010000 & unfinished_late_q;
  wire [PacketBits-1:0] failed = picked(fail, late_q);
  wire [PacketBits-1:0] stuck_packet = picked(oldest, heads);

  always @(posedge clk_i) begin
    fault_q      <= rst_i || start_i ? 2'd0 : {fault_q[0], fetch_fault_i};
    halted_q     <= rst_i || start_i ? 2'd0 : {halted_q[0], fetch_halted_i};
    event_q      <= !rst_i && !start_i && (fails != 6'd0 || deadlock || fault || halted);
    event_halt_q <= fails == 6'd0 && !deadlock && !fault;
    if (fails != 6'd0) begin
      event_status_q <= (fail & unfinished_late_q) == 6'd0 ? `VLA_ERROR_SEMAPHORE_OVERFLOW
                        : (fail & index_late_q) != 6'd0 ? `VLA_ERROR_INDEX_RANGE
                        : (fail & write_fails) != 6'd0 ? `VLA_ERROR_AXI_WRITE : `VLA_ERROR_AXI_READ;
      {event_seq_q, event_addr_q} <= failed;
    end else if (deadlock) begin
      event_status_q <= `VLA_ERROR_DEADLOCK;
      {event_seq_q, event_addr_q} <= stuck_packet;
    end else begin
      event_status_q <= fault ? fetch_fault_code_i : zero_i ? `VLA_ERROR_OK : `VLA_ERROR_SEMAPHORE_LEFT;
      {event_seq_q, event_addr_q} <= {fetch_seq_i, fetch_addr_i};
    end
  end

  wire record = running_q && event_q && (!ending_q || event_seq_q < limit_q);

  // ---- the end ----
  reg [Settle-1:0] recent_q;  // a limit was recorded in the last cycles
  assign stop_o = !running_q || ending_q;
  assign done_o = ending_q && !busy_i && !older_left_q && recent_q == {Settle{1'b0}};

  always @(posedge clk_i) begin
    if (rst_i) begin
      running_q <= 1'b0;
      ending_q  <= 1'b0;
      quiet_q   <= 8'd0;
      recent_q  <= {Settle{1'b0}};
    end else begin
      if (start_i)     running_q <= 1'b1;
      else if (done_o) running_q <= 1'b0;
      if (done_o)      ending_q <= 1'b0;
      else if (record) ending_q <= 1'b1;
      quiet_q  <= quiet ? quiet_q + 8'd1 : 8'd0;
      recent_q <= {recent_q[Settle-2:0], record};
    end
  end

  always @(posedge clk_i) begin
    if (rst_i || start_i) begin
      status_o     <= `VLA_ERROR_OK;
      error_addr_o <= 38'd0;
      halt_code_o  <= 32'd0;
      limit_q      <= 32'd0;
    end else if (record) begin
      status_o     <= event_status_q;
      error_addr_o <= event_status_q == `VLA_ERROR_OK ? 38'd0 : event_addr_q;
      halt_code_o  <= event_halt_q && event_status_q == `VLA_ERROR_OK ? fetch_halt_code_i : 32'd0;
      limit_q      <= event_seq_q;
    end
  end

endmodule
`default_nettype wire
