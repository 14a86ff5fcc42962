// Which output pixels are placed: Group of them at once, in the order in which strips are drained.
// Does: step through batches, out blocks and pixels; give the columns of a group's pixels, which of them exist, and
// where strips, tiles and the packet end. A group holds pixels of one tile only.
// Does not: know addresses. Regions follow it: pixel_o while the first group's positions and a step's length are found
// pixel after pixel, load_o with each tile, step_i with each group.
// Latency: start_i -> first group Group + 2 cycles, then one per cycle.
// Handshake: a group is there while valid_o; step_i goes on.
`default_nettype none
module vla_mac_place_walk #(
  parameter Pixels = 8,  // of a strip
  parameter Group  = 2   // pixels placed at once
) (
  input  wire                clk_i,
  input  wire                rst_i,
  // constant while a packet runs
  input  wire [13:0]         out_w_i,
  input  wire [10:0]         out_h_i,
  input  wire [11:0]         out_blocks_i,
  input  wire [9:0]          batches_i,
  input  wire                start_i,
  // groups
  output wire                valid_o,
  input  wire                step_i,
  output wire [Group-1:0]    live_o,
  output wire [14*Group-1:0] x_o,
  output wire                strip_last_o,   // last group of its strip with a pixel
  output wire                tile_first_o,
  output wire                tile_last_o,
  output wire                block_first_o,  // its tile is the first of a batch
  output wire                block_last_o,
  output wire                packet_last_o,
  // regions
  output wire                pixel_o,        // the next pixel of the first group
  output wire                pixel_wrap_o,   // which begins a row
  output wire                load_o,         // go to the first group of the next tile
  output wire                load_first_o,   // which begins a batch
  output wire                load_batch_o,   // behind which another batch begins
  output wire [Group-1:0]    wrap_o          // the pixel of the next group is a row further than the step
);

  localparam Groups  = Pixels / Group;  // of a strip
  localparam GroupAw = Groups > 1 ? $clog2(Groups) : 1;
  localparam LastInt = Groups - 1;
  localparam [GroupAw-1:0] Last = LastInt[GroupAw-1:0];

  localparam [1:0] Idle  = 2'd0;  // no packet
  localparam [1:0] Count = 2'd1;  // pixels 0 to Group are found one by one
  localparam [1:0] Load  = 2'd2;  // the first tile
  localparam [1:0] Run   = 2'd3;  // groups

  reg [1:0]          state_q;
  reg [3:0]          count_q;
  reg [13:0]         step_x_q;        // after counting: columns and rows from a group to the next
  reg [3:0]          step_rows_q;
  reg [GroupAw-1:0]  group_q;         // in its strip
  reg [11:0]         blocks_left_q;   // of the batch, this tile included
  reg [9:0]          batches_left_q;
  reg                tile_first_q, block_first_q, block_last_q;

  wire count_wrap = step_x_q + 14'd1 == out_w_i;
  wire batch_last = tile_last_o && block_last_o;
  wire [11:0] blocks_next = load_first_o ? out_blocks_i : blocks_left_q - 12'd1;

  assign valid_o       = state_q == Run;
  assign pixel_o       = state_q == Count;
  assign pixel_wrap_o  = count_wrap;
  assign load_o        = state_q == Load || (step_i && tile_last_o && !packet_last_o);
  assign load_first_o  = state_q == Load || batch_last;
  assign load_batch_o  = blocks_next == 12'd1;
  assign strip_last_o  = tile_last_o || group_q == Last;
  assign tile_first_o  = tile_first_q;
  assign block_first_o = block_first_q;
  assign block_last_o  = block_last_q;
  assign packet_last_o = batch_last && batches_left_q == 10'd1;

  always @(posedge clk_i) begin
    if (rst_i) state_q <= Idle;
    else begin
      case (state_q)
        Idle:    if (start_i) state_q <= Count;
        Count:   if (count_q == Group[3:0] - 4'd1) state_q <= Load;
        Load:    state_q <= Run;
        default: if (step_i && packet_last_o) state_q <= Idle;
      endcase
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      count_q     <= 4'd0;
      step_x_q    <= 14'd0;
      step_rows_q <= 4'd0;
    end else if (pixel_o) begin
      count_q     <= count_q + 4'd1;
      step_x_q    <= count_wrap ? 14'd0 : step_x_q + 14'd1;
      step_rows_q <= step_rows_q + {3'd0, count_wrap};
    end
    if (load_o || step_i) tile_first_q <= load_o;
    if (load_o) begin
      block_first_q <= load_first_o;
      block_last_q  <= load_batch_o;
      blocks_left_q <= blocks_next;
      if (state_q == Load) batches_left_q <= batches_i;
      else if (batch_last) batches_left_q <= batches_left_q - 10'd1;
    end
    if (load_o || (step_i && strip_last_o)) group_q <= {GroupAw{1'b0}};
    else if (step_i) group_q <= group_q + 1'b1;
  end

  // ---- the pixels of a group ----
  wire [14:0] turn = {1'b0, out_w_i} - {1'b0, step_x_q};  // from this column on a step wraps
  wire [Group-1:0] past;  // the lane's next pixel lies behind the tile
  assign tile_last_o = past[0];

  genvar l;
  generate
    for (l = 0; l < Group; l = l + 1) begin : g_lane
      reg [13:0] first_x_q;
      reg [3:0]  first_row_q;
      reg [13:0] x_q;
      reg [11:0] row_q;
      reg        wrap_q;
      wire [13:0] x_next   = wrap_q ? x_q - turn[13:0] : x_q + step_x_q;
      wire [11:0] row_next = row_q + {8'd0, step_rows_q} + {11'd0, wrap_q};

      always @(posedge clk_i) begin
        if (pixel_o && count_q == l) begin
          first_x_q   <= step_x_q;
          first_row_q <= step_rows_q;
        end
        if (load_o) begin
          x_q    <= first_x_q;
          row_q  <= {8'd0, first_row_q};
          wrap_q <= {1'b0, first_x_q} >= turn;
        end else if (step_i) begin
          x_q    <= x_next;
          row_q  <= row_next;
          wrap_q <= {1'b0, x_next} >= turn;
        end
      end

      assign x_o[14*l +: 14] = x_q;
      assign wrap_o[l] = wrap_q;
      assign live_o[l] = row_q < {1'b0, out_h_i};
      assign past[l]   = row_next >= {1'b0, out_h_i};
    end

    if (Group != 2 && Group != 4 && Group != 8) begin : g_check_group
      vla_bad_parameter_requant_pixels_2_4_or_8 u_bad ();
    end
    if (Pixels % Group != 0) begin : g_check_pixels
      vla_bad_parameter_requant_pixels_divide_pixels u_bad ();
    end
  endgenerate

  wire unused_past = ^past;

endmodule
`default_nettype wire
