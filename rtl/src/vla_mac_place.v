// Where results go: groups of pixels in the order in which the strips are drained, with their residual words.
// Does: give the output addresses and flags of each group, and the words of the residual, read beforehand over a lane
// for each pixel.
// Does not: wait for results, or overrun the queues behind it: it holds Credits, spends one per group and
// gets it back with freed_i.
// Latency: start_i -> first group Group + 3 cycles, with a residual 6 more, then one group per cycle while all residual
// words are granted.
// Handshake: group_valid_o for one cycle per group; there is always room.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_place #(
  parameter Pixels  = 8,
  parameter Block   = 16,
  parameter ActAw   = 17,
  parameter Group   = 2,   // pixels of a group
  parameter Credits = 32
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // the running packet
  input  wire                     start_i,
  input  wire [511:0]             conv_i,
  input  wire [11:0]              out_blocks_i,
  input  wire [9:0]               batches_i,
  input  wire [ActAw-1:0]         out_batch_stride_i,
  input  wire [ActAw-1:0]         out_slot_row_i,
  input  wire [ActAw-1:0]         out_ring_span_i,
  input  wire [ActAw-1:0]         res_slot_row_i,
  input  wire [ActAw-1:0]         res_ring_span_i,
  // residual lanes of the activation memory
  output wire [Group-1:0]         res_rd_valid_o,
  output wire [Group*ActAw-1:0]   res_rd_addr_o,
  input  wire [Group-1:0]         res_rd_grant_i,
  input  wire [Group-1:0]         res_rd_word_i,
  input  wire [Group*8*Block-1:0] res_rd_data_i,
  // groups
  input  wire                     freed_i,
  output wire                     group_valid_o,
  output wire [Group-1:0]         group_live_o,         // its pixels that exist
  output wire                     group_strip_last_o,   // last live group of its strip
  output wire                     group_tile_last_o,
  output wire                     group_packet_last_o,
  output wire [Group*ActAw-1:0]   group_addr_o,
  output wire [Group*8*Block-1:0] group_residual_o
);

  localparam CreditBits = $clog2(Credits) + 1;
  localparam WordBits   = 8 * Block;

  wire unused_conv = &{1'b0, conv_i};
  wire residual = conv_i[`VLA_CONV_RESIDUAL_ENABLE];

  // ---- the walk ----
  wire                walk_valid, may_step, strip_last, tile_last, packet_last;
  wire                pixel, pixel_wrap, load, load_batch;
  wire [Group-1:0]    live, wrap;
  wire [14*Group-1:0] x;
  reg  [CreditBits-1:0] credits_q;
  wire step = walk_valid && credits_q != 0 && may_step;

  always @(posedge clk_i) begin
    if (rst_i) credits_q <= Credits;
    else credits_q <= credits_q + {{CreditBits-1{1'b0}}, freed_i} - {{CreditBits-1{1'b0}}, step};
  end

  vla_mac_place_walk #(.Pixels(Pixels), .Group(Group)) u_walk (
    .clk_i(clk_i), .rst_i(rst_i),
    .out_w_i(conv_i[`VLA_CONV_OUT_W]), .out_h_i(conv_i[`VLA_CONV_OUT_H]),
    .out_blocks_i(out_blocks_i), .batches_i(batches_i), .start_i(start_i),
    .valid_o(walk_valid), .step_i(step), .live_o(live), .x_o(x),
    .strip_last_o(strip_last), .tile_last_o(tile_last), .packet_last_o(packet_last),
    .pixel_o(pixel), .pixel_wrap_o(pixel_wrap), .load_o(load), .load_batch_o(load_batch), .wrap_o(wrap)
  );

  wire [Group*ActAw-1:0] out_row, res_row, out_addr, res_addr;
  wire [ActAw+13:0] out_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_OUT_PITCH]};
  wire [ActAw+13:0] res_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_RES_PITCH]};
  wire              unused_high = &{1'b0, out_pitch[ActAw+13:ActAw], res_pitch[ActAw+13:ActAw]};

  vla_mac_region #(.ActAw(ActAw), .Group(Group)) u_out (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_OUT_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(out_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_OUT_RING]), .slot_i(conv_i[`VLA_CONV_OUT_SLOT]),
    .slot_row_i(out_slot_row_i), .ring_span_i(out_ring_span_i), .batch_stride_i(out_batch_stride_i),
    .start_i(start_i), .pixel_i(pixel), .pixel_wrap_i(pixel_wrap), .load_i(load), .load_batch_i(load_batch),
    .step_i(step), .wrap_i(wrap), .row_o(out_row)
  );

  vla_mac_region #(.ActAw(ActAw), .Group(Group)) u_res (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_RES_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(res_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_RES_RING]), .slot_i(conv_i[`VLA_CONV_RES_SLOT]),
    .slot_row_i(res_slot_row_i), .ring_span_i(res_ring_span_i), .batch_stride_i({ActAw{1'b0}}),
    .start_i(start_i), .pixel_i(pixel), .pixel_wrap_i(pixel_wrap), .load_i(load), .load_batch_i(load_batch),
    .step_i(step), .wrap_i(wrap), .row_o(res_row)
  );

  // ---- groups, and their residual words on the way ----
  wire             queue_ready, queue_valid;
  wire [Group-1:0] lane_ready, word_valid;
  wire             release_group = queue_valid && (!residual || (word_valid | ~group_live_o) == {Group{1'b1}});
  assign may_step      = queue_ready && (!residual || lane_ready == {Group{1'b1}});
  assign group_valid_o = release_group;

  vla_fifo #(.Width(Group + 3 + Group*ActAw), .Depth(16)) u_groups (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(step), .in_ready_o(queue_ready), .in_data_i({live, strip_last, tile_last, packet_last, out_addr}),
    .out_valid_o(queue_valid), .out_ready_i(release_group),
    .out_data_o({group_live_o, group_strip_last_o, group_tile_last_o, group_packet_last_o, group_addr_o})
  );

  genvar l;
  generate
    for (l = 0; l < Group; l = l + 1) begin : g_lane
      wire [ActAw+13:0] column = {{ActAw{1'b0}}, x[14*l +: 14]};
      wire              unused_column = &{1'b0, column[ActAw+13:ActAw]};
      assign out_addr[l*ActAw +: ActAw] = out_row[l*ActAw +: ActAw] + column[ActAw-1:0];
      assign res_addr[l*ActAw +: ActAw] = res_row[l*ActAw +: ActAw] + column[ActAw-1:0];

      vla_read_lane #(.Aw(ActAw), .WordBits(WordBits), .Depth(8)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(step && residual && live[l]), .addr_ready_o(lane_ready[l]),
        .addr_i(res_addr[l*ActAw +: ActAw]),
        .rd_valid_o(res_rd_valid_o[l]), .rd_addr_o(res_rd_addr_o[l*ActAw +: ActAw]), .rd_grant_i(res_rd_grant_i[l]),
        .rd_word_i(res_rd_word_i[l]), .rd_data_i(res_rd_data_i[l*WordBits +: WordBits]),
        .word_valid_o(word_valid[l]), .word_ready_i(release_group && residual && group_live_o[l]),
        .word_o(group_residual_o[l*WordBits +: WordBits])
      );
    end
  endgenerate

endmodule
`default_nettype wire
