// Walk the program: prefetch packets, check them, dispatch them in order to the five queues; JUMP and HALT
// act here.
// Does: number packets in program order; hold an illegal or unreadable packet and raise fault_o once
// everything before it is complete; on HALT wait the same way, then halted_o.
// Does not: decide the status of a run or notice a deadlock (vla_core_monitor does), or look at packets of
// engines beyond the generated check.
// Latency: one packet per cycle from the prefetch buffer; two cycles from there to a queue. A JUMP costs a
// memory round trip.
// Handshake: queue_valid_o has one bit per queue, the packet is shared; it stays until that queue is ready.
// stop_i drops the packet at dispatch and goes idle.
`default_nettype none
`include "vla_isa.vh"
module vla_fetch #(
  parameter ActWords    = 16384,
  parameter WeightWords = 2048,
  parameter ParamWords  = 1024
) (
  input  wire         clk_i,
  input  wire         rst_i,
  input  wire         start_i,      // begin at packet entry_i
  input  wire [31:0]  entry_i,
  input  wire         stop_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  // read client
  output wire         ar_valid_o,
  input  wire         ar_ready_i,
  output wire [63:0]  ar_addr_o,
  output wire [7:0]   ar_len_o,
  input  wire         r_valid_i,
  output wire         r_ready_o,
  input  wire [255:0] r_data_i,
  input  wire         r_last_i,
  input  wire         r_error_i,
  // queues
  output wire [4:0]   queue_valid_o,
  input  wire [4:0]   queue_ready_i,
  output wire [511:0] queue_packet_o,
  output wire [37:0]  queue_addr_o,
  output wire [31:0]  queue_seq_o,
  // semaphores
  output wire         take_valid_o,
  output wire [15:0]  take_mask_o,
  input  wire         take_grant_i,
  output wire         signal_valid_o,
  output wire [15:0]  signal_mask_o,
  // state
  input  wire         drained_i,     // every queue empty and every engine idle
  output wire         stalled_o,     // a packet is at dispatch and cannot move now
  output wire         waiting_o,     // it is a JUMP or HALT without its semaphores
  output wire         fault_o,       // everything before it is complete, and it cannot run, because:
  output wire [3:0]   fault_code_o,
  output wire         halted_o,      // HALT: everything before it is complete, its signals are counted
  output wire [31:0]  halt_code_o,
  output wire         retire_o       // a JUMP or HALT retires
);

  localparam [2:0] Idle   = 3'd0;  // no program runs
  localparam [2:0] Run    = 3'd1;  // packets move
  localparam [2:0] Drain  = 3'd2;  // HALT has its semaphores, queues and engines finish
  localparam [2:0] Halted = 3'd3;  // the end
  localparam [2:0] Fault  = 3'd4;  // the packet at dispatch cannot run, queues and engines finish

  reg [2:0] state_q;
  reg [2:0] state_d;

  // the packet at dispatch
  reg         valid_q;
  reg [511:0] packet_q;
  reg [3:0]   error_q;
  reg [5:0]   queue_q;      // one hot; bit 5: acts here
  reg [31:0]  line_q;
  reg [31:0]  seq_q;
  reg [31:0]  next_line_q;  // line of the packet after it

  // prefetch
  wire         next_valid;
  wire         next_ready;
  wire [511:0] next_packet;
  wire         next_unread;
  wire         jump;
  wire         redirect = start_i || jump;
  wire [31:0]  target = start_i ? entry_i : packet_q[`VLA_JUMP_TARGET];
  vla_fetch_prefetch u_prefetch (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .enable_i      (state_q == Run),
    .redirect_i    (redirect),
    .line_i        (target),
    .data_bases_i  (data_bases_i),
    .ar_valid_o    (ar_valid_o),
    .ar_ready_i    (ar_ready_i),
    .ar_addr_o     (ar_addr_o),
    .ar_len_o      (ar_len_o),
    .r_valid_i     (r_valid_i),
    .r_ready_o     (r_ready_o),
    .r_data_i      (r_data_i),
    .r_last_i      (r_last_i),
    .r_error_i     (r_error_i),
    .packet_valid_o(next_valid),
    .packet_ready_i(next_ready),
    .packet_o      (next_packet),
    .packet_error_o(next_unread)
  );

  wire [3:0] next_error;
  wire [2:0] next_queue;
  vla_packet_check #(
    .ActWords   (ActWords),
    .WeightWords(WeightWords),
    .ParamWords (ParamWords)
  ) u_check (
    .packet_i(next_packet),
    .error_o (next_error),
    .queue_o (next_queue)
  );

  // dispatch
  wire legal = valid_q && state_q == Run && !stop_i && error_q == `VLA_ERROR_OK;
  wire here  = legal && queue_q[5];
  wire halt  = packet_q[`VLA_PACKET_OPCODE] == `VLA_OP_HALT;
  wire taken = here && take_grant_i;
  wire push  = |(queue_valid_o & queue_ready_i);
  wire ended = state_q == Drain && drained_i && !stop_i;
  wire load  = next_valid && next_ready;

  assign jump = taken && !halt;
  assign next_ready = state_q == Run && (!valid_q || push);

  always @(*) begin
    state_d = state_q;
    case (state_q)
      Idle: state_d = Idle;
      Run: begin
        if (taken && halt)                                     state_d = Drain;
        else if (valid_q && error_q != `VLA_ERROR_OK)          state_d = Fault;
      end
      Drain: if (drained_i) state_d = Halted;
      Halted, Fault: state_d = state_q;
      default: state_d = Idle;
    endcase
    if (stop_i)  state_d = Idle;
    if (start_i) state_d = Run;
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
      valid_q <= 1'b0;
    end else begin
      state_q <= state_d;
      if (redirect || stop_i) valid_q <= 1'b0;
      else if (load)          valid_q <= 1'b1;
      else if (push)          valid_q <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (redirect)  next_line_q <= target;
    else if (load) next_line_q <= next_line_q + 32'd1;
    if (start_i)           seq_q <= 32'd0;
    else if (push || jump) seq_q <= seq_q + 32'd1;
    if (load) begin
      packet_q <= next_packet;
      error_q  <= next_unread ? `VLA_ERROR_AXI_READ : next_error;
      queue_q  <= 6'd1 << next_queue;
      line_q   <= next_line_q;
    end
  end

  assign queue_valid_o  = legal ? queue_q[4:0] : 5'd0;
  assign queue_packet_o = packet_q;
  assign queue_addr_o   = {line_q, 6'd0};
  assign queue_seq_o    = seq_q;

  assign take_valid_o   = here;
  assign take_mask_o    = packet_q[`VLA_PACKET_WAIT];
  assign signal_valid_o = jump || ended;
  assign signal_mask_o  = packet_q[`VLA_PACKET_SIGNAL];

  assign stalled_o    = valid_q && !push && !jump;
  assign waiting_o    = here;
  assign fault_o      = state_q == Fault && drained_i;
  assign fault_code_o = error_q;
  assign halted_o     = state_q == Halted;
  assign halt_code_o  = packet_q[`VLA_HALT_CODE];
  assign retire_o     = signal_valid_o;

endmodule
`default_nettype wire
