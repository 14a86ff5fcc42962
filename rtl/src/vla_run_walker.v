// The runs of a COPY: for every (i3, i2, i1), i1 fastest, the source and the destination address of its
// n0 contiguous words.
// Does: one run per cycle; nothing at all when a count is zero.
// Does not: cut runs (vla_segmenter), or know what n0 counts.
// Latency: the first run comes two cycles after start_i. Handshake: start_i while busy_o is low takes the
// constants; busy_o is high until the last run is taken; runs are ready/valid.
`default_nettype none
module vla_run_walker #(
  parameter SrcAw = 32,  // bits of a source address
  parameter DstAw = 20   // bits of a destination address
) (
  input  wire             clk_i,
  input  wire             rst_i,
  // constants, taken at start_i
  input  wire             start_i,
  input  wire             empty_i,   // a count, n0 included, is zero
  input  wire [11:0]      n1_i,
  input  wire [11:0]      n2_i,
  input  wire [11:0]      n3_i,
  input  wire [SrcAw-1:0] src_base_i,
  input  wire [SrcAw-1:0] src_stride1_i,
  input  wire [SrcAw-1:0] src_stride2_i,
  input  wire [SrcAw-1:0] src_stride3_i,
  input  wire [10:0]      src_ring_i,
  input  wire [10:0]      src_slot_i,
  input  wire [DstAw-1:0] dst_base_i,
  input  wire [DstAw-1:0] dst_stride1_i,
  input  wire [DstAw-1:0] dst_stride2_i,
  input  wire [DstAw-1:0] dst_stride3_i,
  input  wire [10:0]      dst_ring_i,
  input  wire [10:0]      dst_slot_i,
  output wire             busy_o,
  // runs
  output wire             run_valid_o,
  input  wire             run_ready_i,
  output wire [SrcAw-1:0] run_src_o,
  output wire [DstAw-1:0] run_dst_o,
  output wire [11:0]      run_i1_o,
  output wire [11:0]      run_i2_o,
  output wire             run_row_end_o  // the last run of its row
);

  localparam [1:0] Idle  = 2'd0;  // no packet
  localparam [1:0] First = 2'd1;  // the first addresses are computed
  localparam [1:0] Walk  = 2'd2;  // a run is offered

  reg [1:0]  state_q;
  reg [11:0] last1_q, last2_q, last3_q;  // highest index of each dimension
  reg [11:0] i1_q, i2_q, i3_q;

  wire take = state_q == Walk && run_ready_i;
  wire end1 = i1_q == last1_q;
  wire end2 = i2_q == last2_q;
  wire end3 = i3_q == last3_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
    end else begin
      case (state_q)
        Idle:    if (start_i && !empty_i) state_q <= First;
        First:   state_q <= Walk;
        default: if (take && end1 && end2 && end3) state_q <= Idle;
      endcase
    end
  end

  always @(posedge clk_i) begin
    if (state_q == Idle) begin
      last1_q <= n1_i - 12'd1;
      last2_q <= n2_i - 12'd1;
      last3_q <= n3_i - 12'd1;
      i1_q    <= 12'd0;
      i2_q    <= 12'd0;
      i3_q    <= 12'd0;
    end else if (take) begin
      i1_q <= end1 ? 12'd0 : i1_q + 12'd1;
      if (end1) i2_q <= end2 ? 12'd0 : i2_q + 12'd1;
      if (end1 && end2) i3_q <= i3_q + 12'd1;
    end
  end

  wire load  = state_q == Idle && start_i;
  wire first = state_q == First;
  wire step1 = take && !end1;
  wire step2 = take && end1 && !end2;
  wire step3 = take && end1 && end2;

  vla_walk_address #(.Aw(SrcAw)) u_src (
    .clk_i(clk_i), .load_i(load), .base_i(src_base_i),
    .stride1_i(src_stride1_i), .stride2_i(src_stride2_i), .stride3_i(src_stride3_i),
    .ring_i(src_ring_i), .slot_i(src_slot_i),
    .start_i(first), .step1_i(step1), .step2_i(step2), .step3_i(step3), .addr_o(run_src_o)
  );

  vla_walk_address #(.Aw(DstAw)) u_dst (
    .clk_i(clk_i), .load_i(load), .base_i(dst_base_i),
    .stride1_i(dst_stride1_i), .stride2_i(dst_stride2_i), .stride3_i(dst_stride3_i),
    .ring_i(dst_ring_i), .slot_i(dst_slot_i),
    .start_i(first), .step1_i(step1), .step2_i(step2), .step3_i(step3), .addr_o(run_dst_o)
  );

  assign busy_o        = state_q != Idle;
  assign run_valid_o   = state_q == Walk;
  assign run_i1_o      = i1_q;
  assign run_i2_o      = i2_q;
  assign run_row_end_o = end1;

endmodule
`default_nettype wire
