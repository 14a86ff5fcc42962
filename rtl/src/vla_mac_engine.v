// The MAC engine: CONV and GEMM.
//
//   setup -> walk + lanes -> fetch -> array -> strips -> drain (requantize, table, residual, maxima, write)
//                ^ live lists                             ^ place (addresses, residual words), params
//
// Does: run one packet after the other at Pixels x Block x Block multiply-accumulates per cycle, as long as
// the words of a step lie in different banks and a strip has at least Pixels / RequantPixels steps (twice as many where
// results are int16).
// Does not: check packets, take semaphores, or order a packet's output after its own inputs: an output region
// may equal the residual, and must not overlap anything else the packet reads.
// Latency: about 21 cycles from start to the write of a strip's first pixels besides its steps; a packet
// starts in the second cycle after its predecessor's last write.
// Handshake: see rtl/README.md. done_o one cycle after the last word is granted.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_engine #(
  parameter Pixels        = 8,       // pixels of a strip
  parameter Block         = 16,      // channels of a channel block
  parameter RequantPixels = 4,       // pixels requantized per cycle: 2, 4 or 8, at most Pixels
  parameter ActWords      = 131072,
  parameter WeightWords   = 8192,
  parameter ParamWords    = 2048
) (
  input  wire                               clk_i,
  input  wire                               rst_i,
  // packets
  input  wire                               packet_valid_i,
  output wire                               packet_ready_o,
  input  wire [511:0]                       packet_i,
  output wire                               done_o,
  output wire                               active_o,
  // activation memory: operands
  output wire [Pixels-1:0]                  op_rd_valid_o,
  output wire [Pixels*$clog2(ActWords)-1:0] op_rd_addr_o,
  input  wire [Pixels-1:0]                  op_rd_word_i,
  input  wire [Pixels*8*Block-1:0]          op_rd_data_i,
  // activation memory: residual
  output wire [RequantPixels-1:0]           res_rd_valid_o,
  output wire [RequantPixels*$clog2(ActWords)-1:0] res_rd_addr_o,
  input  wire [RequantPixels-1:0]           res_rd_grant_i,
  input  wire [RequantPixels-1:0]           res_rd_word_i,
  input  wire [RequantPixels*8*Block-1:0]   res_rd_data_i,
  // activation memory: results
  output wire [RequantPixels-1:0]           wr_valid_o,
  output wire [RequantPixels*$clog2(ActWords)-1:0] wr_addr_o,
  output wire [RequantPixels*8*Block-1:0]   wr_data_o,
  input  wire [RequantPixels-1:0]           wr_grant_i,
  // weight memory
  output wire                               weight_rd_en_o,
  output wire [$clog2(WeightWords)-1:0]     weight_rd_addr_o,
  input  wire [8*Block*Block-1:0]           weight_rd_data_i,
  // parameter memory
  output wire                               param_rd_valid_o,
  output wire [$clog2(ParamWords)-1:0]      param_rd_addr_o,
  input  wire                               param_rd_grant_i,
  input  wire [64*Block-1:0]                param_rd_data_i,
  // counters
  output wire                               count_busy_o,     // the array multiplies in this cycle
  output wire                               count_conflict_o  // a lane's operand waits for another's in this cycle
);

  localparam ActAw     = $clog2(ActWords);
  localparam WeightAw  = $clog2(WeightWords);
  localparam ParamAw   = $clog2(ParamWords);
  localparam ParamBits = 64 * Block;
  localparam IndexBits = $clog2(ParamBits);
  localparam LaneBits  = ActAw + 42;
  localparam Strips    = 16;  // from the walk to the drain: enough for a strip per cycle
  localparam Depth     = 32;  // groups of pixels behind the strips

  // ---- packets ----
  reg  running_q;
  reg  done_q;
  wire start, finish;

  assign done_o   = done_q;
  assign active_o = running_q || start || !packet_ready_o || done_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      running_q <= 1'b0;
      done_q    <= 1'b0;
    end else begin
      if (start) running_q <= 1'b1;
      else if (finish) running_q <= 1'b0;
      done_q <= finish;
    end
  end

  wire [511:0]                conv, gemm, shadow_conv;
  wire [11:0]                 in_blocks, out_blocks, shadow_in_blocks, shadow_out_blocks;
  wire [9:0]                  batches;
  wire [ActAw-1:0]            in_batch_stride, out_batch_stride;
  wire [15:0]                 weight_batch_stride;
  wire                        one_record;
  wire [ActAw-1:0]            origin, ring_span, tap_row, row_step, out_slot_row, res_slot_row;
  wire [ActAw-1:0]            out_ring_span, res_ring_span;
  wire [15:0]                 row_pixels;
  wire [LaneBits*Pixels-1:0]  first_lanes;
  wire [LaneBits-1:0]         strip_step;
  wire                        live_begin, live_ready;
  wire                        unused_shadow = &{1'b0, shadow_conv};

  vla_mac_setup #(.Pixels(Pixels), .ActAw(ActAw), .LaneBits(LaneBits)) u_setup (
    .clk_i(clk_i), .rst_i(rst_i),
    .packet_valid_i(packet_valid_i), .packet_ready_o(packet_ready_o), .packet_i(packet_i),
    .free_i(finish || !(running_q || start)), .start_o(start),
    .live_begin_o(live_begin), .live_ready_i(live_ready),
    .shadow_conv_o(shadow_conv), .shadow_in_blocks_o(shadow_in_blocks), .shadow_out_blocks_o(shadow_out_blocks),
    .conv_o(conv), .in_blocks_o(in_blocks), .out_blocks_o(out_blocks), .batches_o(batches),
    .in_batch_stride_o(in_batch_stride), .out_batch_stride_o(out_batch_stride),
    .weight_batch_stride_o(weight_batch_stride), .one_record_o(one_record), .gemm_o(gemm),
    .origin_o(origin), .ring_span_o(ring_span), .tap_row_o(tap_row), .row_pixels_o(row_pixels),
    .row_step_o(row_step), .out_slot_row_o(out_slot_row), .res_slot_row_o(res_slot_row),
    .out_ring_span_o(out_ring_span), .res_ring_span_o(res_ring_span),
    .lanes_o(first_lanes), .strip_step_o(strip_step)
  );

  // ---- live lists ----
  wire                 live_rd_valid, live_rd_grant, list_ready, list_take;
  wire [ParamAw-1:0]   live_rd_addr;
  wire [IndexBits:0]   list_count;
  wire [IndexBits-1:0] list_index;
  wire [ActAw-1:0]     list_first, list_entry;

  vla_mac_live #(.ActAw(ActAw), .ParamAw(ParamAw), .MaskBits(ParamBits)) u_live (
    .clk_i(clk_i), .rst_i(rst_i),
    .begin_i(live_begin), .ready_o(live_ready),
    .mask_base_i(shadow_conv[`VLA_CONV_MASK_BASE_LSB +: ParamAw]),
    .in_blocks_i(shadow_in_blocks), .out_blocks_i(shadow_out_blocks), .pitch_i(shadow_conv[`VLA_CONV_IN_PITCH]),
    .param_rd_valid_o(live_rd_valid), .param_rd_addr_o(live_rd_addr), .param_rd_grant_i(live_rd_grant),
    .param_rd_data_i(param_rd_data_i),
    .list_ready_o(list_ready), .list_count_o(list_count), .list_first_o(list_first),
    .list_take_i(list_take), .list_index_i(list_index), .list_entry_o(list_entry)
  );

  // ---- steps ----
  wire                    load, next_strip, advance, freed_strip;
  wire [Pixels-1:0]       past, lane_need, lane_on;
  wire                    unused_past = &{1'b0, past};
  wire                    step_valid, step_first, step_last, step_empty, step_silent;
  wire [WeightAw-1:0]     step_weight;
  wire [14:0]             y_offset;
  wire [17:0]             x_offset;
  wire [ActAw-1:0]        addr_offset;
  wire [Pixels*ActAw-1:0] lane_addr;

  vla_mac_walk #(.ActAw(ActAw), .WeightAw(WeightAw), .IndexBits(IndexBits), .Strips(Strips)) u_walk (
    .clk_i(clk_i), .rst_i(rst_i),
    .start_i(start), .conv_i(conv), .in_blocks_i(in_blocks), .out_blocks_i(out_blocks), .batches_i(batches),
    .in_batch_stride_i(in_batch_stride), .weight_batch_stride_i(weight_batch_stride),
    .origin_i(origin), .tap_row_i(tap_row),
    .list_ready_i(list_ready), .list_count_i(list_count), .list_first_i(list_first), .list_take_o(list_take),
    .list_index_o(list_index), .list_entry_i(list_entry),
    .load_o(load), .strip_o(next_strip), .past_i(past[0]),
    .advance_i(advance), .step_valid_o(step_valid), .step_first_o(step_first), .step_last_o(step_last),
    .step_empty_o(step_empty), .step_silent_o(step_silent), .weight_addr_o(step_weight),
    .y_offset_o(y_offset), .x_offset_o(x_offset), .addr_offset_o(addr_offset), .freed_i(freed_strip)
  );

  genvar l;
  generate
    for (l = 0; l < Pixels; l = l + 1) begin : g_lane
      vla_mac_lane #(.ActAw(ActAw), .LaneBits(LaneBits)) u_lane (
        .clk_i(clk_i),
        .conv_i(conv), .ring_span_i(ring_span), .row_pixels_i(row_pixels), .row_step_i(row_step),
        .first_i(first_lanes[l*LaneBits +: LaneBits]), .strip_step_i(strip_step),
        .load_i(load), .strip_i(next_strip), .past_o(past[l]),
        .advance_i(advance), .y_offset_i(y_offset), .x_offset_i(x_offset), .addr_offset_i(addr_offset),
        .addr_o(lane_addr[l*ActAw +: ActAw]), .need_o(lane_need[l]), .on_o(lane_on[l])
      );
    end
  endgenerate

  // ---- operands and array ----
  wire                      array_valid, array_first, array_last, array_empty, array_silent;
  wire [Pixels/2-1:0]       array_pairs;
  wire [Pixels*8*Block-1:0] activations;
  wire [8*Block*Block-1:0]  weights;
  wire                      strip_done, strip_done_silent;
  wire [Pixels*32*Block-1:0] strip_done_acc;

  vla_mac_fetch #(.Pixels(Pixels), .Block(Block), .ActAw(ActAw), .WeightAw(WeightAw)) u_fetch (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_zero_i(conv[`VLA_CONV_IN_ZERO]), .advance_o(advance),
    .step_valid_i(step_valid), .step_first_i(step_first), .step_last_i(step_last), .step_empty_i(step_empty),
    .step_silent_i(step_silent), .step_weight_i(step_weight),
    .lane_addr_i(lane_addr), .lane_need_i(lane_need), .lane_on_i(lane_on),
    .op_rd_valid_o(op_rd_valid_o), .op_rd_addr_o(op_rd_addr_o), .op_rd_word_i(op_rd_word_i),
    .op_rd_data_i(op_rd_data_i),
    .weight_rd_en_o(weight_rd_en_o), .weight_rd_addr_o(weight_rd_addr_o), .weight_rd_data_i(weight_rd_data_i),
    .valid_o(array_valid), .first_o(array_first), .last_o(array_last), .empty_o(array_empty),
    .silent_o(array_silent), .pairs_o(array_pairs), .activations_o(activations), .weights_o(weights),
    .conflict_o(count_conflict_o)
  );

  assign count_busy_o = array_valid && !array_empty;

  vla_mac_array #(.Pixels(Pixels), .Block(Block)) u_array (
    .clk_i(clk_i), .rst_i(rst_i),
    .step_valid_i(array_valid), .step_first_i(array_first), .step_last_i(array_last),
    .step_empty_i(array_empty), .step_silent_i(array_silent), .step_pairs_i(array_pairs),
    .activations_i(activations), .weights_i(weights),
    .strip_valid_o(strip_done), .strip_silent_o(strip_done_silent), .acc_o(strip_done_acc)
  );

  // ---- strips, parameters, results ----
  wire                strip_valid, strip_silent, strip_take, strip_take_last;
  wire [64*Block-1:0] record;
  wire [32*RequantPixels*Block-1:0] strip_acc;
  wire                record_valid, record_take, params_ready, table_valid, table_first, table_busy;
  wire [95:0]         residual_record;
  wire                     group_valid, group_strip_last, group_tile_last, group_packet_last, group_freed;
  wire                     group_words, group_block_first, group_block_last;
  wire [1:0]               group_kind;
  wire [5*RequantPixels-1:0] group_columns;
  wire [RequantPixels-1:0] group_live;
  wire [RequantPixels*ActAw-1:0]   group_addr;
  wire [RequantPixels*8*Block-1:0] group_read;

  vla_mac_strips #(.Pairs(Pixels/2), .Group(RequantPixels/2), .Block(Block), .Depth(Strips)) u_strips (
    .clk_i(clk_i), .rst_i(rst_i),
    .strip_valid_i(strip_done), .strip_silent_i(strip_done_silent), .strip_acc_i(strip_done_acc),
    .valid_o(strip_valid), .silent_o(strip_silent), .acc_o(strip_acc),
    .take_i(strip_take), .take_last_i(strip_take_last), .freed_o(freed_strip)
  );

  vla_mac_params #(.Block(Block), .ParamAw(ParamAw)) u_params (
    .clk_i(clk_i), .rst_i(rst_i),
    .start_i(start), .conv_i(conv), .out_blocks_i(out_blocks), .batches_i(batches), .one_record_i(one_record),
    .param_rd_valid_o(param_rd_valid_o), .param_rd_addr_o(param_rd_addr_o), .param_rd_grant_i(param_rd_grant_i),
    .param_rd_data_i(param_rd_data_i),
    .live_rd_valid_i(live_rd_valid), .live_rd_addr_i(live_rd_addr), .live_rd_grant_o(live_rd_grant),
    .ready_o(params_ready), .residual_o(residual_record),
    .table_valid_o(table_valid), .table_first_o(table_first), .table_busy_i(table_busy),
    .record_valid_o(record_valid), .record_o(record), .record_take_i(record_take)
  );

  vla_mac_place #(
    .Pixels(Pixels), .Block(Block), .ActAw(ActAw), .Group(RequantPixels), .Credits(Depth)
  ) u_place (
    .clk_i(clk_i), .rst_i(rst_i),
    .start_i(start), .conv_i(conv), .gemm_i(gemm), .out_blocks_i(out_blocks), .batches_i(batches),
    .out_batch_stride_i(out_batch_stride), .out_slot_row_i(out_slot_row), .out_ring_span_i(out_ring_span),
    .res_slot_row_i(res_slot_row), .res_ring_span_i(res_ring_span),
    .res_rd_valid_o(res_rd_valid_o), .res_rd_addr_o(res_rd_addr_o), .res_rd_grant_i(res_rd_grant_i), .res_rd_word_i(res_rd_word_i),
    .res_rd_data_i(res_rd_data_i),
    .freed_i(group_freed), .group_valid_o(group_valid), .group_kind_o(group_kind), .group_words_o(group_words),
    .group_live_o(group_live), .group_block_first_o(group_block_first), .group_block_last_o(group_block_last),
    .group_columns_o(group_columns),
    .group_strip_last_o(group_strip_last), .group_tile_last_o(group_tile_last),
    .group_packet_last_o(group_packet_last), .group_addr_o(group_addr), .group_read_o(group_read)
  );

  vla_mac_drain #(
    .Block(Block), .ActAw(ActAw), .ParamBits(ParamBits), .Group(RequantPixels), .Depth(Depth)
  ) u_drain (
    .clk_i(clk_i), .rst_i(rst_i),
    .conv_i(conv), .gemm_i(gemm), .ready_i(params_ready), .residual_record_i(residual_record),
    .table_valid_i(table_valid), .table_first_i(table_first), .table_word_i(param_rd_data_i),
    .table_busy_o(table_busy),
    .group_valid_i(group_valid), .group_kind_i(group_kind), .group_words_i(group_words), .group_live_i(group_live),
    .group_block_first_i(group_block_first), .group_block_last_i(group_block_last), .group_columns_i(group_columns),
    .group_strip_last_i(group_strip_last),
    .group_tile_last_i(group_tile_last), .group_packet_last_i(group_packet_last), .group_addr_i(group_addr),
    .group_read_i(group_read), .freed_o(group_freed),
    .strip_valid_i(strip_valid), .strip_silent_i(strip_silent), .strip_acc_i(strip_acc),
    .strip_take_o(strip_take), .strip_take_last_o(strip_take_last),
    .record_valid_i(record_valid), .record_i(record), .record_take_o(record_take),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i),
    .done_o(finish)
  );

  generate
    if (Pixels != 2 && Pixels != 4 && Pixels != 8) begin : g_check_pixels
      vla_bad_parameter_pixels_2_4_or_8 u_bad ();
    end
    if (Block != 8 && Block != 16) begin : g_check_block
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
