// Walk the program: prefetch packets, dispatch them in order to the five queues; JUMP, HALT, SET and LOOP
// act here.
// Does: number packets in program order; add an index to the address it belongs to; go round loops; hold a packet
// that is illegal, cannot be read or has an index out of its range and raise fault_o once everything before it is
// complete; on HALT wait the same way, then halted_o.
// Does not: decide the status of a run or notice a deadlock (vla_core_monitor does), or look at packets of
// engines beyond their index (vla_fetch_prefetch has them checked).
// Latency: one packet per cycle from the prefetch buffer; two cycles from there to a queue, four more with an index.
// A JUMP costs a memory round trip, and so does each round of a loop that does not fit in the prefetch buffer; of one
// that does a round costs two cycles.
// Handshake: queue_valid_o has one bit per queue, the packet is shared; it stays until that queue is ready.
// stop_i drops the packet at dispatch and goes idle. item_rd_* is a read lane of the activation memory.
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
  // activation memory: the item of a SET
  output wire         item_rd_valid_o,
  output wire [$clog2(ActWords)-1:0] item_rd_addr_o,
  input  wire         item_rd_grant_i,
  input  wire         item_rd_word_i,
  input  wire [31:0]  item_rd_data_i,  // its low 32 bits
  // state
  input  wire         drained_i,     // every queue empty and every engine idle
  output wire         stalled_o,     // a packet is at dispatch and cannot move now
  output wire         waiting_o,     // it acts here and has not got its semaphores
  output wire         fault_o,       // everything before it is complete, and it cannot run, because:
  output wire [3:0]   fault_code_o,
  output wire         halted_o,      // HALT: everything before it is complete, its signals are counted
  output wire [31:0]  halt_code_o,
  output wire         retire_o       // a packet that acts here retires
);

  localparam [3:0] Idle   = 4'd0;  // no program runs
  localparam [3:0] Run    = 4'd1;  // packets move
  localparam [3:0] Item   = 4'd2;  // SET has its semaphores and asks for its item
  localparam [3:0] Word   = 4'd3;  // the item comes
  localparam [3:0] Judge  = 4'd4;  // it is held against its count
  localparam [3:0] Round  = 4'd5;  // the last packet of a loop is through
  localparam [3:0] Drain  = 4'd6;  // HALT has its semaphores, queues and engines finish
  localparam [3:0] Halted = 4'd7;  // the end
  localparam [3:0] Fault  = 4'd8;  // the packet at dispatch cannot run, queues and engines finish

  localparam ActAw = $clog2(ActWords);
  localparam Depth = 32;  // of the prefetch buffer, packets
  localparam Burst = 8;

  // one hot: until a packet at dispatch may go on, from the left to the right
  localparam [3:0] Ready     = 4'b0000;
  localparam [3:0] CheckLoop = 4'b0100;  // where it ends
  localparam [3:0] AddIndex  = 4'b1000;

  reg [3:0] state_q;
  reg [3:0] state_d;

  // the packet at dispatch
  reg         valid_q;
  reg [511:0] packet_q;
  reg [3:0]   error_q;
  reg [5:0]   queue_q;      // one hot; bit 5: acts here
  reg [3:0]   steps_q;
  reg         last_q;       // of the innermost loop
  reg         copy_q, gather_q;  // with an index
  reg [31:0]  line_q;
  reg [31:0]  seq_q;
  reg [31:0]  next_line_q;  // line of the packet after it
  reg [31:0]  item_q;

  // prefetch
  wire         next_valid;
  wire         next_ready;
  wire [511:0] next_packet;
  wire [3:0]   next_error;
  wire [2:0]   next_queue;
  wire         jump;
  wire         again;                  // the innermost loop goes round again
  wire         in_loop;
  wire         held;
  wire [31:0]  loop_start;
  wire         refetch  = again && !held;
  wire         redirect = start_i || jump || refetch;
  wire         replay   = again && held;
  wire [31:0]  target   = start_i ? entry_i : again ? loop_start : packet_q[`VLA_JUMP_TARGET];
  vla_fetch_prefetch #(
    .Depth      (Depth),
    .Burst      (Burst),
    .ActWords   (ActWords),
    .WeightWords(WeightWords),
    .ParamWords (ParamWords)
  ) u_prefetch (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .enable_i      (reads),
    .redirect_i    (redirect),
    .replay_i      (replay),
    .line_i        (target),
    .hold_i        (held),
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
    .packet_error_o(next_error),
    .packet_queue_o(next_queue)
  );

  // ---- what comes next ----
  wire reads       = state_q == Run || state_q == Item || state_q == Word || state_q == Judge || state_q == Round;
  wire next_copy   = next_packet[`VLA_PACKET_OPCODE] == `VLA_OP_COPY && next_packet[`VLA_COPY_INDEX_ENABLE];
  wire next_gather = next_packet[`VLA_PACKET_OPCODE] == `VLA_OP_GATHER && next_packet[`VLA_GATHER_INDEX_ENABLE];
  wire next_loop   = next_packet[`VLA_PACKET_OPCODE] == `VLA_OP_LOOP;
  wire next_leaves = next_packet[`VLA_PACKET_OPCODE] == `VLA_OP_JUMP || next_packet[`VLA_PACKET_OPCODE] == `VLA_OP_HALT;

  // ---- dispatch ----
  wire [31:0] loop_last;
  wire        refuse;
  wire        together;
  wire        outside;
  wire [31:0] indexed;

  wire legal = valid_q && state_q == Run && !stop_i && error_q == `VLA_ERROR_OK && steps_q == Ready;
  wire here  = legal && queue_q[5];
  wire halt  = packet_q[`VLA_PACKET_OPCODE] == `VLA_OP_HALT;
  wire loop  = packet_q[`VLA_PACKET_OPCODE] == `VLA_OP_LOOP;
  wire set   = packet_q[`VLA_PACKET_OPCODE] == `VLA_OP_SET;
  wire item  = set && packet_q[`VLA_SET_SOURCE] == `VLA_SET_SOURCE_ITEM;
  wire taken = here && take_grant_i;
  wire push  = |(queue_valid_o & queue_ready_i);
  wire ended = state_q == Drain && drained_i && !stop_i;
  wire load  = next_valid && next_ready;
  wire turn  = state_q == Round && !stop_i;

  wire judged  = state_q == Judge && !stop_i;
  wire too_far = item_q[31:16] != 16'd0 || item_q[15:0] >= packet_q[`VLA_SET_COUNT];
  wire acted   = (taken && !halt && !item) || (judged && !too_far);
  wire more;  // rounds

  assign jump       = taken && !halt && !loop && !set;
  assign again      = turn && more;
  assign next_ready = state_q == Run && (!valid_q || (push && !last_q));

  always @(*) begin
    state_d = state_q;
    case (state_q)
      Idle: state_d = Idle;
      Run: begin
        if (taken && halt)                                state_d = Drain;
        else if (taken && item)                           state_d = Item;
        else if (valid_q && error_q != `VLA_ERROR_OK)     state_d = Fault;
        else if ((push || acted) && last_q)               state_d = Round;
      end
      Item:  if (item_rd_grant_i) state_d = Word;
      Word:  if (item_rd_word_i)  state_d = Judge;
      Judge: state_d = last_q && !too_far ? Round : Run;
      Round: if (more || !together) state_d = Run;
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
      if (redirect || stop_i)  valid_q <= 1'b0;
      else if (load)           valid_q <= 1'b1;
      else if (push || acted)  valid_q <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (redirect || replay) next_line_q <= target;
    else if (load)          next_line_q <= next_line_q + 32'd1;
    if (start_i)            seq_q <= 32'd0;
    else if (push || acted) seq_q <= seq_q + 32'd1;
    if (load) begin
      packet_q <= next_packet;
      error_q  <= next_error == `VLA_ERROR_OK && in_loop && next_leaves ? `VLA_ERROR_FIELD_LIMIT : next_error;
      queue_q  <= 6'd1 << next_queue;
      steps_q  <= next_loop ? CheckLoop : next_copy || next_gather ? AddIndex : Ready;
      last_q   <= in_loop && next_line_q == loop_last;
      copy_q   <= next_copy;
      gather_q <= next_gather;
      line_q   <= next_line_q;
    end else begin
      steps_q <= steps_q >> 1;
      if (steps_q[0] && error_q == `VLA_ERROR_OK) begin
        if (loop && refuse)                    error_q <= `VLA_ERROR_FIELD_LIMIT;
        if ((copy_q || gather_q) && outside)   error_q <= `VLA_ERROR_INDEX_RANGE;
        if (gather_q)                          packet_q[`VLA_GATHER_TABLE_BASE] <= indexed;
        if (copy_q && !to_dst)                 packet_q[`VLA_COPY_SRC] <= indexed;
        if (copy_q && to_dst)                  packet_q[`VLA_COPY_DST] <= indexed;
      end
      if (judged && too_far)                   error_q <= `VLA_ERROR_INDEX_RANGE;
    end
    if (item_rd_word_i) item_q <= item_rd_data_i;
  end

  // ---- loops ----
  wire [1:0]  loop_register;
  wire [15:0] loop_round;
  vla_fetch_loops #(
    .Depth(Depth),
    .Burst(Burst)
  ) u_loops (
    .clk_i     (clk_i),
    .rst_i     (rst_i),
    .clear_i   (start_i),
    .line_i    (line_q),
    .n_i       (packet_q[`VLA_LOOP_N]),
    .count_i   (packet_q[`VLA_LOOP_COUNT]),
    .register_i(packet_q[`VLA_LOOP_REGISTER]),
    .refuse_o  (refuse),
    .push_i    (taken && loop),
    .inside_o  (in_loop),
    .start_o   (loop_start),
    .last_o    (loop_last),
    .register_o(loop_register),
    .round_o   (loop_round),
    .again_o   (more),
    .held_o    (held),
    .turn_i    (turn),
    .together_o(together)
  );

  // ---- index registers: written by SET, at the start of a loop, at the start of its other rounds ----
  wire        to_dst = packet_q[`VLA_COPY_INDEX_SIDE] == `VLA_COPY_INDEX_SIDE_DST;
  wire [15:0] value  = again ? loop_round : loop ? 16'd0 : item ? item_q[15:0] : packet_q[`VLA_SET_IMMEDIATE];
  wire [1:0]  number = again ? loop_register : loop ? packet_q[`VLA_LOOP_REGISTER] : packet_q[`VLA_SET_REGISTER];
  vla_fetch_index u_index (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .clear_i         (start_i),
    .write_i         (again || (acted && (loop || set))),
    .write_register_i(number),
    .write_value_i   (value),
    .register_i      (gather_q ? packet_q[`VLA_GATHER_INDEX_REGISTER] : packet_q[`VLA_COPY_INDEX_REGISTER]),
    .count_i         (gather_q ? packet_q[`VLA_GATHER_INDEX_COUNT] : packet_q[`VLA_COPY_INDEX_COUNT]),
    .stride_i        (gather_q ? packet_q[`VLA_GATHER_INDEX_STRIDE] : packet_q[`VLA_COPY_INDEX_STRIDE]),
    .base_i          (gather_q ? packet_q[`VLA_GATHER_TABLE_BASE]
                      : to_dst ? packet_q[`VLA_COPY_DST] : packet_q[`VLA_COPY_SRC]),
    .address_o       (indexed),
    .outside_o       (outside)
  );

  assign item_rd_valid_o = state_q == Item && !stop_i;
  assign item_rd_addr_o  = packet_q[`VLA_SET_BASE_LSB +: ActAw];

  assign queue_valid_o  = legal ? queue_q[4:0] : 5'd0;
  assign queue_packet_o = packet_q;
  assign queue_addr_o   = {line_q, 6'd0};
  assign queue_seq_o    = seq_q;

  assign take_valid_o   = here;
  assign take_mask_o    = packet_q[`VLA_PACKET_WAIT];
  assign signal_valid_o = acted || ended;
  assign signal_mask_o  = packet_q[`VLA_PACKET_SIGNAL];

  assign stalled_o    = valid_q && !push && !acted;
  assign waiting_o    = here;
  assign fault_o      = state_q == Fault && drained_i;
  assign fault_code_o = error_q;
  assign halted_o     = state_q == Halted;
  assign halt_code_o  = packet_q[`VLA_HALT_CODE];
  assign retire_o     = signal_valid_o;

endmodule
`default_nettype wire
