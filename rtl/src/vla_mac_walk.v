// The loops of a CONV or GEMM: batch, out block, strip, live in block, kernel row, kernel column.
// Does: give one step per cycle (offsets that all lanes share, weight address, flags), moving counters and
// sums only; restart a tile's weights for every strip; go from strip to strip, out block to out block and
// batch to batch without a gap. An out block without a live in block is one empty step per strip.
// Does not: know pixels (`vla_mac_lane` does) or memories, or overrun the strips behind the array: it holds
// Strips credits, spends one with the last step of a strip and gets it back with freed_i.
// Latency: the first step is out one cycle after start_i (a packet with a mask: when its list is ready).
// Handshake: step_valid_o with advance_i; the lanes move along (load_o, strip_o).
`include "vla_isa.vh"
`default_nettype none
module vla_mac_walk #(
  parameter ActAw     = 17,
  parameter WeightAw  = 13,
  parameter IndexBits = 10,  // index into a list of live in blocks
  parameter Strips    = 4
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  // the running packet
  input  wire                 start_i,
  input  wire [511:0]         conv_i,
  input  wire [11:0]          in_blocks_i,
  input  wire [11:0]          out_blocks_i,
  input  wire [9:0]           batches_i,
  input  wire [ActAw-1:0]     in_batch_stride_i,
  input  wire [15:0]          weight_batch_stride_i,
  input  wire [ActAw-1:0]     origin_i,
  input  wire [ActAw-1:0]     tap_row_i,
  // lists of live in blocks
  input  wire                 list_ready_i,
  input  wire [IndexBits:0]   list_count_i,
  input  wire [ActAw-1:0]     list_first_i,
  output wire                 list_take_o,
  output wire [IndexBits-1:0] list_index_o,
  input  wire [ActAw-1:0]     list_entry_i,
  // lanes
  output wire                 load_o,
  output wire                 strip_o,
  input  wire                 past_i,         // the next strip lies behind the output
  // steps
  input  wire                 advance_i,
  output wire                 step_valid_o,
  output wire                 step_first_o,   // of a strip
  output wire                 step_last_o,    // of a strip
  output wire                 step_empty_o,   // no operands: sum 0
  output wire                 step_silent_o,  // and its bias counts as 0
  output wire [WeightAw-1:0]  weight_addr_o,
  output wire [14:0]          y_offset_o,
  output wire [17:0]          x_offset_o,
  output wire [ActAw-1:0]     addr_offset_o,
  input  wire                 freed_i
);

  localparam CreditBits = $clog2(Strips) + 1;

  wire unused_high = &{1'b0, conv_i, weight_batch_stride_i, pitch_wide};

  wire              masked   = conv_i[`VLA_CONV_MASK_MODE] == `VLA_CONV_MASK_MODE_MASK;
  wire              diagonal = conv_i[`VLA_CONV_MASK_MODE] == `VLA_CONV_MASK_MODE_DIAGONAL;
  wire [3:0]        rows     = conv_i[`VLA_CONV_KERNEL_H] - 4'd1;
  wire [3:0]        columns  = conv_i[`VLA_CONV_KERNEL_W] - 4'd1;
  wire [14:0]       y_top    = -{7'd0, conv_i[`VLA_CONV_PAD_TOP]};
  wire [17:0]       x_left   = -{10'd0, conv_i[`VLA_CONV_PAD_LEFT]};
  wire [4:0]        y_tap    = conv_i[`VLA_CONV_DILATION_H];
  wire [4:0]        x_tap    = conv_i[`VLA_CONV_DILATION_W];
  wire [ActAw+13:0] pitch_wide = {{ActAw{1'b0}}, conv_i[`VLA_CONV_IN_PITCH]};
  wire [ActAw-1:0]  pitch    = pitch_wide[ActAw-1:0];

  // ---- tiles: one out block of one batch ----
  reg                more_q;           // a tile is still to be loaded
  reg                fresh_q;          // it is the first of its batch
  reg [11:0]         blocks_left_q;    // out blocks of the batch, the next tile included
  reg [9:0]          batches_left_q;
  reg [ActAw-1:0]    batch_addr_q;     // in block 0 of the next tile's batch
  reg [WeightAw-1:0] batch_weight_q;
  reg [ActAw-1:0]    next_addr_q;      // first in block of the next tile, unless fresh
  reg [WeightAw-1:0] next_weight_q;    // its first weight word, unless fresh

  reg                tile_q;           // a tile is loaded
  reg                empty_q;
  reg [11:0]         live_q;           // live in blocks less one
  reg [ActAw-1:0]    base_q;           // what the entries of a list are added to
  reg [ActAw-1:0]    first_addr_q;     // first live in block
  reg [WeightAw-1:0] first_weight_q;

  // ---- steps ----
  reg                first_q;
  reg [3:0]          column_left_q;
  reg [3:0]          row_left_q;
  reg [11:0]         live_left_q;
  reg [IndexBits-1:0] index_q;         // of the next live in block
  reg [14:0]         y_q;
  reg [17:0]         x_q;
  reg [ActAw-1:0]    block_q;          // addresses of the live in block, the kernel row, the tap
  reg [ActAw-1:0]    row_q;
  reg [ActAw-1:0]    tap_q;
  reg [WeightAw-1:0] weight_q;
  reg [CreditBits-1:0] credits_q;

  wire row_end   = column_left_q == 4'd0;
  wire block_end = row_end && row_left_q == 4'd0;
  wire strip_end = block_end && live_left_q == 12'd0;

  assign step_valid_o = tile_q && !(strip_end && credits_q == 0);
  wire go       = step_valid_o && advance_i;
  wire tile_end = go && strip_end && past_i;

  assign load_o        = more_q && (tile_end || !tile_q) && (!masked || list_ready_i);
  assign strip_o       = go && strip_end && !past_i;
  assign list_take_o   = load_o && masked;
  assign list_index_o  = index_q;
  assign step_first_o  = first_q;
  assign step_last_o   = strip_end;
  assign step_empty_o  = empty_q;
  assign step_silent_o = empty_q && conv_i[`VLA_CONV_MASK_EMPTY] == `VLA_CONV_MASK_EMPTY_ZERO;
  assign weight_addr_o = weight_q;
  assign y_offset_o    = y_q;
  assign x_offset_o    = x_q;
  assign addr_offset_o = tap_q;

  wire [ActAw-1:0]     load_base   = fresh_q ? batch_addr_q : next_addr_q;
  wire [ActAw-1:0]     load_addr   = masked ? load_base + list_first_i : load_base;
  wire [WeightAw-1:0]  weight_next = weight_q + {{WeightAw-1{1'b0}}, !empty_q};
  wire [WeightAw-1:0]  load_weight = fresh_q ? batch_weight_q : tile_end ? weight_next : next_weight_q;
  wire                 load_empty  = masked && list_count_i == 0;
  wire [IndexBits:0]   list_less   = list_count_i - 1'b1;
  wire [11:0]          list_live   = {{11-IndexBits{1'b0}}, list_less};
  wire [11:0]          load_live   = diagonal || load_empty ? 12'd0 : masked ? list_live : in_blocks_i - 12'd1;
  wire                 batch_end   = blocks_left_q == 12'd1;

  always @(posedge clk_i) begin
    if (rst_i) begin
      more_q    <= 1'b0;
      tile_q    <= 1'b0;
      credits_q <= Strips;
    end else begin
      if (start_i) more_q <= 1'b1;
      else if (load_o && batch_end && batches_left_q == 10'd1) more_q <= 1'b0;
      if (load_o) tile_q <= 1'b1;
      else if (tile_end) tile_q <= 1'b0;
      credits_q <= credits_q + {{CreditBits-1{1'b0}}, freed_i} - {{CreditBits-1{1'b0}}, go && strip_end};
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      fresh_q        <= 1'b1;
      blocks_left_q  <= out_blocks_i;
      batches_left_q <= batches_i;
      batch_addr_q   <= origin_i;
      batch_weight_q <= conv_i[`VLA_CONV_WEIGHT_BASE_LSB +: WeightAw];
    end else if (load_o) begin
      fresh_q       <= batch_end;
      blocks_left_q <= batch_end ? out_blocks_i : blocks_left_q - 12'd1;
      next_addr_q   <= diagonal ? load_base + pitch : load_base;
      if (batch_end) begin
        batches_left_q <= batches_left_q - 10'd1;
        batch_addr_q   <= batch_addr_q + in_batch_stride_i;
        batch_weight_q <= batch_weight_q + weight_batch_stride_i[WeightAw-1:0];
      end
    end
    if (tile_end) next_weight_q <= weight_next;
    if (load_o) begin
      empty_q        <= load_empty;
      live_q         <= load_live;
      base_q         <= load_base;
      first_addr_q   <= load_addr;
      first_weight_q <= load_weight;
    end
  end

  wire [ActAw-1:0] block_next = masked ? base_q + list_entry_i : block_q + pitch;
  wire [ActAw-1:0] row_next   = row_q + tap_row_i;

  // Counters and sums of the kernel and the live in blocks
  always @(posedge clk_i) begin
    if (load_o || (go && strip_end)) begin
      first_q     <= 1'b1;
      live_left_q <= load_o ? load_live : live_q;
      index_q     <= {{IndexBits-1{1'b0}}, 1'b1};
      block_q     <= load_o ? load_addr : first_addr_q;
      row_q       <= load_o ? load_addr : first_addr_q;
      tap_q       <= load_o ? load_addr : first_addr_q;
      weight_q    <= load_o ? load_weight : first_weight_q;
    end else if (go) begin
      first_q  <= 1'b0;
      weight_q <= weight_q + 1'b1;
      if (!row_end) begin
        tap_q <= tap_q + {{ActAw-5{1'b0}}, x_tap};
      end else if (!block_end) begin
        row_q <= row_next;
        tap_q <= row_next;
      end else begin
        live_left_q <= live_left_q - 12'd1;
        index_q     <= index_q + 1'b1;
        block_q     <= block_next;
        row_q       <= block_next;
        tap_q       <= block_next;
      end
    end
    if (load_o || go) begin
      if (load_o || row_end) begin
        column_left_q <= (load_o ? load_empty : empty_q) ? 4'd0 : columns;
        x_q           <= x_left;
      end else begin
        column_left_q <= column_left_q - 4'd1;
        x_q           <= x_q + {13'd0, x_tap};
      end
      if (load_o || block_end) begin
        row_left_q <= (load_o ? load_empty : empty_q) ? 4'd0 : rows;
        y_q        <= y_top;
      end else if (row_end) begin
        row_left_q <= row_left_q - 4'd1;
        y_q        <= y_q + {10'd0, y_tap};
      end
    end
  end

endmodule
`default_nettype wire
