// Where results go: pixel pairs in the order in which the strips are drained, with their residual words.
// Does: step through batches, out blocks and pixels, two pixels at a time; give the output addresses and
// flags of a pair, and the words of the residual, read beforehand through two lanes.
// Does not: wait for results, or overrun the queues behind it: it holds Credits, spends one per pair and
// gets it back with freed_i.
// Latency: start_i -> first pair 3 cycles, then one pair per cycle while all residual words are granted.
// Handshake: pair_valid_o for one cycle per pair; there is always room.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_place #(
  parameter Pixels  = 8,
  parameter Block   = 16,
  parameter ActAw   = 17,
  parameter Credits = 32
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  // the running packet
  input  wire                 start_i,
  input  wire [511:0]         conv_i,
  input  wire [11:0]          out_blocks_i,
  input  wire [9:0]           batches_i,
  input  wire [ActAw-1:0]     out_batch_stride_i,
  input  wire [ActAw-1:0]     out_slot_row_i,
  input  wire [ActAw-1:0]     res_slot_row_i,
  // residual lanes of the activation memory
  output wire [1:0]           res_rd_valid_o,
  output wire [2*ActAw-1:0]   res_rd_addr_o,
  input  wire [1:0]           res_rd_grant_i,
  input  wire [16*Block-1:0]  res_rd_data_i,
  // pairs
  input  wire                 freed_i,
  output wire                 pair_valid_o,
  output wire                 pair_both_o,         // the second pixel exists
  output wire                 pair_strip_last_o,   // last live pair of its strip
  output wire                 pair_tile_last_o,
  output wire                 pair_packet_last_o,
  output wire [2*ActAw-1:0]   pair_addr_o,
  output wire [16*Block-1:0]  pair_residual_o
);

  localparam Pairs      = Pixels / 2;
  localparam PairAw     = Pairs > 1 ? $clog2(Pairs) : 1;
  localparam CreditBits = $clog2(Credits) + 1;
  localparam WordBits   = 8 * Block;
  localparam PairEnd    = Pairs - 1;
  localparam [PairAw-1:0] LastPair = PairEnd[PairAw-1:0];

  wire unused_conv = &{1'b0, conv_i};

  wire [10:0] out_h    = conv_i[`VLA_CONV_OUT_H];
  wire [13:0] out_w    = conv_i[`VLA_CONV_OUT_W];
  wire        residual = conv_i[`VLA_CONV_RESIDUAL_ENABLE];

  // ---- the pair at (row_q, x_q) ----
  reg                  busy_q;
  reg [13:0]           x_q;
  reg [10:0]           row_q;
  reg [PairAw-1:0]     pair_q;           // in its strip
  reg [11:0]           blocks_left_q;
  reg [9:0]            batches_left_q;
  reg [CreditBits-1:0] credits_q;

  wire        wrap1   = x_q + 14'd1 == out_w;
  wire [13:0] x1      = wrap1 ? 14'd0 : x_q + 14'd1;
  wire        wrap2   = x1 + 14'd1 == out_w;
  wire [13:0] x2      = wrap2 ? 14'd0 : x1 + 14'd1;
  wire [1:0]  rows    = {1'b0, wrap1} + {1'b0, wrap2};
  wire [11:0] row1    = {1'b0, row_q} + {11'd0, wrap1};
  wire [11:0] row2    = {1'b0, row_q} + {10'd0, rows};
  wire        both    = row1 < {1'b0, out_h};
  wire        tile_end   = row2 >= {1'b0, out_h};
  wire        batch_end  = tile_end && blocks_left_q == 12'd1;
  wire        packet_end = batch_end && batches_left_q == 10'd1;
  wire        strip_end  = tile_end || pair_q == LastPair;

  wire complete;  // the words of the pair being requested are granted
  wire step = busy_q && credits_q != 0 && complete;

  always @(posedge clk_i) begin
    if (rst_i) begin
      busy_q    <= 1'b0;
      credits_q <= Credits;
    end else begin
      if (start_i) busy_q <= 1'b1;
      else if (step && packet_end) busy_q <= 1'b0;
      credits_q <= credits_q + {{CreditBits-1{1'b0}}, freed_i} - {{CreditBits-1{1'b0}}, step};
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      x_q            <= 14'd0;
      row_q          <= 11'd0;
      pair_q         <= {PairAw{1'b0}};
      blocks_left_q  <= out_blocks_i;
      batches_left_q <= batches_i;
    end else if (step) begin
      x_q    <= tile_end ? 14'd0 : x2;
      row_q  <= tile_end ? 11'd0 : row2[10:0];
      pair_q <= strip_end ? {PairAw{1'b0}} : pair_q + 1'b1;
      if (tile_end) blocks_left_q <= batch_end ? out_blocks_i : blocks_left_q - 12'd1;
      if (batch_end) batches_left_q <= batches_left_q - 10'd1;
    end
  end

  wire [ActAw-1:0]  out_row, out_next_row, res_row, res_next_row;
  wire [ActAw+13:0] out_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_OUT_PITCH]};
  wire [ActAw+13:0] res_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_RES_PITCH]};
  wire [ActAw+13:0] x_wide    = {{ActAw{1'b0}}, x_q};
  wire [ActAw+13:0] x1_wide   = {{ActAw{1'b0}}, x1};
  wire              unused_high = &{1'b0, out_pitch[ActAw+13:ActAw], res_pitch[ActAw+13:ActAw],
                                    x_wide[ActAw+13:ActAw], x1_wide[ActAw+13:ActAw]};

  vla_mac_region #(.ActAw(ActAw)) u_out (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_OUT_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(out_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_OUT_RING]), .slot_i(conv_i[`VLA_CONV_OUT_SLOT]),
    .slot_row_i(out_slot_row_i), .batch_stride_i(out_batch_stride_i),
    .start_i(start_i), .step_i(step), .rows_i(rows), .tile_i(tile_end), .batch_i(batch_end),
    .row_o(out_row), .next_row_o(out_next_row)
  );

  vla_mac_region #(.ActAw(ActAw)) u_res (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_RES_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(res_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_RES_RING]), .slot_i(conv_i[`VLA_CONV_RES_SLOT]),
    .slot_row_i(res_slot_row_i), .batch_stride_i({ActAw{1'b0}}),
    .start_i(start_i), .step_i(step), .rows_i(rows), .tile_i(tile_end), .batch_i(batch_end),
    .row_o(res_row), .next_row_o(res_next_row)
  );

  // ---- requested: the residual words; then arriving ----
  reg               valid_req_q, valid_word_q;
  reg [3:0]         flags_req_q, flags_word_q;
  reg [2*ActAw-1:0] out_req_q, out_word_q;
  reg [1:0]         pending_q;
  reg [1:0]         granted_q;
  reg [2*ActAw-1:0] res_addr_q;

  wire [1:0] left = pending_q & ~res_rd_grant_i;
  assign complete       = left == 2'b00;
  assign res_rd_valid_o = pending_q;
  assign res_rd_addr_o  = res_addr_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_req_q  <= 1'b0;
      valid_word_q <= 1'b0;
      pending_q    <= 2'b00;
      granted_q    <= 2'b00;
    end else begin
      if (complete) valid_req_q <= step;
      valid_word_q <= valid_req_q && complete;
      pending_q    <= step && residual ? {both, 1'b1} : left;
      granted_q    <= pending_q & res_rd_grant_i;
    end
  end

  always @(posedge clk_i) begin
    if (step) begin
      flags_req_q <= {both, strip_end, tile_end, packet_end};
      out_req_q   <= {(wrap1 ? out_next_row : out_row) + x1_wide[ActAw-1:0], out_row + x_wide[ActAw-1:0]};
      res_addr_q  <= {(wrap1 ? res_next_row : res_row) + x1_wide[ActAw-1:0], res_row + x_wide[ActAw-1:0]};
    end
    flags_word_q <= flags_req_q;
    out_word_q   <= out_req_q;
  end

  assign pair_valid_o = valid_word_q;
  assign {pair_both_o, pair_strip_last_o, pair_tile_last_o, pair_packet_last_o} = flags_word_q;
  assign pair_addr_o  = out_word_q;

  genvar l;
  generate
    for (l = 0; l < 2; l = l + 1) begin : g_lane
      reg  [WordBits-1:0] hold_q;  // a word that came before its partner
      wire [WordBits-1:0] data = res_rd_data_i[l*WordBits +: WordBits];
      assign pair_residual_o[l*WordBits +: WordBits] = granted_q[l] ? data : hold_q;
      always @(posedge clk_i) begin
        if (granted_q[l]) hold_q <= data;
      end
    end
  endgenerate

endmodule
`default_nettype wire
