// Decide when a run ends and with which status.
// Does: record the first error with its packet's address; after it let no further packet start and end the
// run when what has started is complete; end it at HALT; notice a deadlock.
// Does not: clear anything but its own registers. The owner clears queues and semaphores at start_i.
// Errors: an engine's AXI error names the oldest packet in that engine, an overflow the packet that
// signals, a deadlock the oldest packet without its semaphores. Errors of packets that complete while an
// illegal packet waits at dispatch come first, as they do in program order.
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
  output wire         stop_o,  // no packet may start
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
  // queues, five lanes
  input  wire [4:0]   head_waiting_i,
  input  wire [189:0] head_addr_i,
  input  wire [159:0] head_seq_i,
  input  wire [189:0] running_addr_i,
  input  wire         busy_i,          // some engine has a packet
  // errors
  input  wire         zero_i,          // all semaphores are zero
  input  wire         overflow_i,
  input  wire [2:0]   overflow_client_i,
  input  wire         wload_error_i,
  input  wire         load_error_i,
  input  wire         store_error_i
);

  reg running_q;
  reg ending_q;  // what ends the run is known, running packets complete

  // oldest packet without its semaphores; nothing in a queue is younger than the packet at dispatch
  reg  [37:0] oldest_addr;
  reg  [31:0] oldest_seq;
  reg         found;
  integer i;
  always @(*) begin
    oldest_addr = fetch_addr_i;
    oldest_seq  = 32'd0;
    found       = 1'b0;
    for (i = 0; i < 5; i = i + 1) begin
      if (head_waiting_i[i] && (!found || head_seq_i[32*i +: 32] < oldest_seq)) begin
        oldest_addr = head_addr_i[38*i +: 38];
        oldest_seq  = head_seq_i[32*i +: 32];
        found       = 1'b1;
      end
    end
  end

  // deadlock: nothing moves, something waits
  reg  [7:0] quiet_q;
  wire       quiet    = running_q && !ending_q && !busy_i && fetch_stalled_i && (found || fetch_waiting_i);
  wire       deadlock = quiet_q == QuietCycles[7:0];

  // the packet whose signal overflows: an engine's oldest, or the one at dispatch
  reg [37:0] overflow_addr;
  always @(*) begin
    case (overflow_client_i)
      3'd0: overflow_addr = running_addr_i[37:0];
      3'd1: overflow_addr = running_addr_i[75:38];
      3'd2: overflow_addr = running_addr_i[113:76];
      3'd3: overflow_addr = running_addr_i[151:114];
      3'd4: overflow_addr = running_addr_i[189:152];
      default: overflow_addr = fetch_addr_i;
    endcase
  end

  // what ends the run now
  reg        end_d;
  reg [3:0]  status_d;
  reg [37:0] addr_d;
  always @(*) begin
    end_d    = 1'b1;
    status_d = `VLA_ERROR_OK;
    addr_d   = fetch_addr_i;
    if (load_error_i) begin
      status_d = `VLA_ERROR_AXI_READ;
      addr_d   = running_addr_i[75:38];
    end else if (wload_error_i) begin
      status_d = `VLA_ERROR_AXI_READ;
      addr_d   = running_addr_i[37:0];
    end else if (store_error_i) begin
      status_d = `VLA_ERROR_AXI_WRITE;
      addr_d   = running_addr_i[189:152];
    end else if (overflow_i) begin
      status_d = `VLA_ERROR_SEMAPHORE_OVERFLOW;
      addr_d   = overflow_addr;
    end else if (deadlock) begin
      status_d = `VLA_ERROR_DEADLOCK;
      addr_d   = oldest_addr;
    end else if (fetch_fault_i) begin
      status_d = fetch_fault_code_i;
    end else if (fetch_halted_i) begin
      status_d = zero_i ? `VLA_ERROR_OK : `VLA_ERROR_SEMAPHORE_LEFT;
    end else begin
      end_d = 1'b0;
    end
  end

  assign stop_o = !running_q || ending_q;
  assign done_o = ending_q && !busy_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      running_q <= 1'b0;
      ending_q  <= 1'b0;
      quiet_q   <= 8'd0;
    end else begin
      if (start_i)     running_q <= 1'b1;
      else if (done_o) running_q <= 1'b0;
      if (done_o)                  ending_q <= 1'b0;
      else if (running_q && end_d) ending_q <= 1'b1;
      quiet_q <= quiet ? quiet_q + 8'd1 : 8'd0;
    end
  end

  always @(posedge clk_i) begin
    if (rst_i || start_i) begin
      status_o     <= `VLA_ERROR_OK;
      error_addr_o <= 38'd0;
      halt_code_o  <= 32'd0;
    end else if (running_q && !ending_q && end_d) begin
      status_o     <= status_d;
      error_addr_o <= status_d == `VLA_ERROR_OK ? 38'd0 : addr_d;
      halt_code_o  <= fetch_halted_i && zero_i ? fetch_halt_code_i : 32'd0;
    end
  end

endmodule
`default_nettype wire
