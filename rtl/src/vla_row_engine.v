// ROW, REDUCE and RECIP: elementwise functions, sums and reciprocals of the pixels of matrices.
// Does: walk pixel pairs outside and channel blocks inside, so that a pixel's constants are read once and its sums need
// no memory; read four words and write two per cycle, 2 x Block lanes; channel records and tables from the parameter
// memory. A mask of the largest channels takes several passes over a pair (vla_row_topk).
// Does not: check packets or semaphores; order its reads against its own writes within a packet, beyond that a word is
// read before it is overwritten by the result computed from it.
// Latency: ROW about 40 cycles from a packet taken while idle to its first write, REDUCE 20, RECIP 33; a table first.
// Steps take the larger of half the slots read (vla_row_setup) and the planes written; RECIP takes one item per cycle;
// between two passes of a mask are 7 cycles.
// Handshakes: see rtl/README.md; nothing starts while hold_i is high.
`include "vla_isa.vh"
`default_nettype none
module vla_row_engine #(
  parameter Block      = 16,      // channels of a word: 8 or 16
  parameter ActWords   = 131072,  // words of the activation scratchpad
  parameter ParamWords = 2048     // words of the parameter memory
) (
  input  wire                            clk_i,
  input  wire                            rst_i,
  // packets
  input  wire                            packet_valid_i,
  output wire                            packet_ready_o,
  input  wire [511:0]                    packet_i,
  input  wire                            hold_i,
  output wire                            done_o,
  output wire                            active_o,
  // activation scratchpad: 4 read lanes, 2 write lanes
  output wire [3:0]                      rd_valid_o,
  output wire [4*$clog2(ActWords)-1:0]   rd_addr_o,
  input  wire [3:0]                      rd_grant_i,
  input  wire [3:0]                      rd_word_i,
  input  wire [4*8*Block-1:0]            rd_data_i,
  output wire [1:0]                      wr_valid_o,
  output wire [2*$clog2(ActWords)-1:0]   wr_addr_o,
  output wire [2*8*Block-1:0]            wr_data_o,
  input  wire [1:0]                      wr_grant_i,
  // parameter memory
  output wire                            param_rd_valid_o,
  output wire [$clog2(ParamWords)-1:0]   param_rd_addr_o,
  input  wire                            param_rd_grant_i,
  input  wire [64*Block-1:0]             param_rd_data_i
);

  localparam Aw        = $clog2(ActWords);
  localparam ParamAw   = $clog2(ParamWords);
  localparam ParamBits = 64 * Block;
  localparam Stages    = 28;
  localparam RecipLatency = 20;

  // ---- the running packet ----
  wire            start, busy, finish, row, reduce, recip, items_in, words_out, items_out;
  wire [511:0]    packet;
  wire [10:0]     h;
  wire [15:0]     m;
  wire [9:0]      blocks;
  wire            topk;
  wire [3:0]      passes;
  wire [13:0]     channels;
  wire [4*Aw-1:0] base, high, row_stride, block_step;
  wire [3:0]      wide;
  wire [2:0]      present, still;
  wire [17:0]     slot;
  wire [1:0]      beat_last;
  wire [Aw-1:0]   items_in_base, items_out_base;

  vla_row_setup #(.Aw(Aw)) u_setup (
    .clk_i(clk_i), .rst_i(rst_i), .packet_valid_i(packet_valid_i), .packet_ready_o(packet_ready_o),
    .packet_i(packet_i), .hold_i(hold_i), .done_o(done_o), .active_o(active_o),
    .start_o(start), .busy_o(busy), .finish_i(finish), .packet_o(packet),
    .row_o(row), .reduce_o(reduce), .recip_o(recip), .h_o(h), .m_o(m), .blocks_o(blocks), .channels_o(channels),
    .topk_o(topk), .passes_o(passes),
    .base_o(base), .high_o(high), .row_stride_o(row_stride), .block_step_o(block_step),
    .wide_o(wide), .present_o(present), .still_o(still), .slot_o(slot), .beat_last_o(beat_last),
    .items_in_o(items_in), .items_in_base_o(items_in_base), .words_out_o(words_out),
    .items_out_o(items_out), .items_out_base_o(items_out_base)
  );

  // ---- reading, and what must be there before a step is taken ----
  wire                items_valid, items_take, step_valid, step_take, ahead;
  wire                both, block_first, block_last, pass_last, pair_last;
  wire [255:0]        item;
  wire [32*Block-1:0] a, b, c;
  wire                words_room, items_room, records_ready, table_ready, idle;

  vla_row_reader #(.Block(Block), .Aw(Aw)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .h_i(h), .m_i(m), .blocks_i(blocks), .passes_i(passes),
    .base_i(base[3*Aw-1:0]), .high_i(high[3*Aw-1:0]), .row_stride_i(row_stride[3*Aw-1:0]),
    .block_step_i(block_step[3*Aw-1:0]), .wide_i(wide[2:0]), .present_i(present), .still_i(still),
    .slot_i(slot), .beat_last_i(beat_last), .items_i(items_in), .items_base_i(items_in_base),
    .rd_valid_o(rd_valid_o), .rd_addr_o(rd_addr_o), .rd_grant_i(rd_grant_i), .rd_word_i(rd_word_i),
    .rd_data_i(rd_data_i),
    .ahead_o(ahead), .items_valid_o(items_valid), .items_take_i(items_take),
    .step_valid_o(step_valid), .step_take_i(step_take), .both_o(both), .block_first_o(block_first),
    .block_last_o(block_last), .pass_last_o(pass_last), .pair_last_o(pair_last), .item_q_o(item), .a_o(a), .b_o(b), .c_o(c)
  );

  reg  launch_q;  // a step is in the reader's registers
  reg  feed_q;    // RECIP: the pair's first item goes in
  reg  last_q;    // the packet's last step is taken
  reg  search_q;  // a pass of topk_mask is through, what it found is not there yet
  wire decided;
  wire may     = busy && !start;
  wire launch  = step_valid && step_take;
  wire pair    = items_valid && items_take && recip;

  assign items_take = may && (!recip || (!feed_q && items_room));
  assign step_take  = may && table_ready && records_ready && (!words_out || (words_room && !(wide[3] && launch_q)))
                      && (!items_out || items_room) && !search_q;
  assign finish     = last_q && idle;

  always @(posedge clk_i) begin
    if (rst_i) begin
      launch_q <= 1'b0;
      feed_q   <= 1'b0;
      last_q   <= 1'b0;
      search_q <= 1'b0;
    end else begin
      launch_q <= launch;
      feed_q   <= pair;
      if (start) last_q <= 1'b0;
      else if ((launch && block_last && pass_last && pair_last) || (pair && pair_last)) last_q <= 1'b1;
      if (start || decided) search_q <= 1'b0;
      else if (launch && block_last && !pass_last) search_q <= 1'b1;
    end
  end

  // ---- what goes with a step: lanes that are real channels, marks, the first channel's low byte ----
  reg [Block-1:0] live_q;
  reg             first_q, block_last_q, pass_last_q, both_q;
  reg [7:0]       column_q;
  reg [13:0]      left_q;  // channels of the pair that are left
  wire [13:0]     left = block_first ? channels : left_q;

  function [Block-1:0] live_lanes;
    input [13:0] count;
    live_lanes = count >= Block[13:0] ? {Block{1'b1}} : ~({Block{1'b1}} << count[$clog2(Block)-1:0]);
  endfunction

  always @(posedge clk_i) begin
    if (launch) begin
      live_q       <= live_lanes(left);
      left_q       <= left > Block[13:0] ? left - Block[13:0] : 14'd0;
      first_q      <= block_first;
      block_last_q <= block_last;
      pass_last_q  <= pass_last;
      column_q     <= block_first ? 8'd0 : column_q + Block[7:0];
    end
    if (launch || pair) both_q <= both;
  end

  // ---- ROW ----
  reg  [Stages-1:1]     stage_q;  // stage k holds a step
  wire [Stages-1:0]     stage = {stage_q, launch_q && row};
  reg                   result_valid_q;
  always @(posedge clk_i) begin
    if (rst_i) begin
      stage_q        <= {(Stages - 1){1'b0}};
      result_valid_q <= 1'b0;
    end else begin
      stage_q        <= stage[Stages-2:0];
      result_valid_q <= stage[Stages-1];
    end
  end

  wire [Block-1:0]       live27, live28;
  wire [7:0]             column27;
  wire [2:0]             marks28;
  vla_delay #(.Width(Block + 8), .Cycles(27)) u_live (
    .clk_i(clk_i), .data_i({column_q, live_q}), .data_o({column27, live27})
  );
  vla_delay #(.Width(Block), .Cycles(1)) u_live28 (.clk_i(clk_i), .data_i(live27), .data_o(live28));
  vla_delay #(.Width(3), .Cycles(28)) u_marks (
    .clk_i(clk_i), .data_i({both_q, block_last_q, first_q}), .data_o(marks28)
  );

  wire [8*Block-1:0]     dither;  // bits of the column, reversed
  wire [ParamBits-1:0]   record;
  wire [14*Block-1:0]    table_row;
  wire [128*Block-1:0]   table_rows;
  wire [32*Block-1:0]    result;
  genvar                 i, l;
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_dither
      localparam [7:0] Lane = l;
      wire       [7:0] j    = column27 + Lane;
      assign dither[8*l +: 8] = {j[0], j[1], j[2], j[3], j[4], j[5], j[6], j[7]};
    end
    for (i = 0; i < 2; i = i + 1) begin : g_pixel
      vla_row_pixel #(.Block(Block)) u_pixel (
        .clk_i(clk_i), .en_i(stage), .packet_i(packet), .item_i(item[128*i +: 64]),
        .a_i(a[16*Block*i +: 16*Block]), .b_i(b[16*Block*i +: 16*Block]), .c_i(c[16*Block*i +: 16*Block]),
        .record_i(record), .dither_i(dither), .live_i(live27),
        .table_row_o(table_row[7*Block*i +: 7*Block]), .table_row_i(table_rows[64*Block*i +: 64*Block]),
        .result_o(result[16*Block*i +: 16*Block])
      );
    end
  endgenerate

  // ---- parameter memory: the table first, then records ----
  wire               table_rd_valid, record_rd_valid;
  wire [ParamAw-1:0] table_rd_addr, record_rd_addr;
  wire               channel_records = row && packet[`VLA_ROW_FUNCTION] == `VLA_ROW_FUNCTION_CHANNEL;
  wire [1:0]         table_mode      = row ? packet[`VLA_ROW_TABLE_MODE] : `VLA_ROW_TABLE_MODE_NONE;

  function [ParamAw-1:0] param_address;
    input [15:0] field_unused;
    param_address = field_unused[ParamAw-1:0];
  endfunction

  assign param_rd_valid_o = table_rd_valid || record_rd_valid;
  assign param_rd_addr_o  = table_rd_valid ? table_rd_addr : record_rd_addr;

  vla_row_table #(.Block(Block), .ParamAw(ParamAw), .ParamBits(ParamBits), .Lanes(2 * Block)) u_table (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .mode_i(table_mode),
    .base_i(param_address(packet[`VLA_ROW_TABLE_BASE])), .ready_o(table_ready),
    .param_rd_valid_o(table_rd_valid), .param_rd_addr_o(table_rd_addr),
    .param_rd_grant_i(param_rd_grant_i), .param_rd_data_i(param_rd_data_i),
    .en_i(table_mode == `VLA_ROW_TABLE_MODE_IN16 ? stage[1] : table_mode != `VLA_ROW_TABLE_MODE_NONE && stage[25]),
    .row_i(table_row), .row_o(table_rows)
  );
  vla_row_records #(.ParamAw(ParamAw), .ParamBits(ParamBits)) u_records (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .enable_i(channel_records),
    .base_i(param_address(packet[`VLA_ROW_PARAM_BASE])), .blocks_i(blocks), .ahead_i(ahead),
    .ready_o(records_ready), .launch_i(launch), .pop_i(stage[15]), .word_o(record),
    .param_rd_valid_o(record_rd_valid), .param_rd_addr_o(record_rd_addr),
    .param_rd_grant_i(param_rd_grant_i && !table_rd_valid), .param_rd_data_i(param_rd_data_i)
  );

  // ---- REDUCE, and the sums of ROW ----
  reg  [34*Block-1:0] values_q;  // a less its zero point
  reg                 values_valid_q;
  reg  [Block-1:0]    live1_q;
  reg  [2:0]          marks1_q;
  wire [7:0]          zero = packet[`VLA_REDUCE_IN_ZERO];
  always @(posedge clk_i) begin
    if (rst_i) values_valid_q <= 1'b0;
    else values_valid_q <= launch_q && reduce && !topk;
    live1_q  <= live_q;
    marks1_q <= {both_q, block_last_q, first_q};
  end

  wire         sums   = row && items_out;
  wire [2:0]   marks  = reduce ? marks1_q : marks28;
  wire [1:0]   item_valid;
  wire [191:0] items;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_reduce
      wire [17*Block-1:0] values;
      for (l = i * Block; l < (i + 1) * Block; l = l + 1) begin : g_value
        always @(posedge clk_i) begin
          if (launch_q && reduce)
            values_q[17*l +: 17] <= {a[16*l + 15], a[16*l +: 16]} - {{9{zero[7]}}, zero};
        end
        assign values[17*(l - i*Block) +: 17] = reduce ? values_q[17*l +: 17] : {result[16*l + 15], result[16*l +: 16]};
      end
      vla_row_reduce #(.Block(Block)) u_reduce (
        .clk_i(clk_i), .rst_i(rst_i),
        .function_i(reduce ? packet[`VLA_REDUCE_FUNCTION] : `VLA_REDUCE_FUNCTION_SUM), .channels_i(channels),
        .valid_i(reduce ? values_valid_q : sums && result_valid_q), .first_i(marks[0]), .last_i(marks[1]),
        .values_i(values), .live_i(reduce ? live1_q : live28),
        .valid_o(item_valid[i]), .value_o(items[96*i +: 64]), .second_o(items[96*i + 64 +: 32])
      );
    end
  endgenerate
  wire items_both;
  vla_delay #(.Width(1), .Cycles(7)) u_both (.clk_i(clk_i), .data_i(marks[2]), .data_o(items_both));

  // ---- REDUCE topk_mask ----
  wire               unused_decided, mask_valid, unused_mask_valid;
  wire [2*Block-1:0] mask;
  wire [32*Block-1:0] mask_words;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_topk
      wire decided_now, valid_now;
      vla_row_topk #(.Block(Block)) u_topk (
        .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .wide_i(wide[0]), .k_i(packet[`VLA_REDUCE_K]),
        .valid_i(launch_q && topk), .first_i(first_q), .last_i(block_last_q), .mask_i(pass_last_q),
        .values_i(a[16*Block*i +: 16*Block]), .live_i(live_q),
        .decided_o(decided_now), .valid_o(valid_now), .mask_o(mask[Block*i +: Block])
      );
      if (i == 0) begin : g_first
        assign decided    = decided_now;
        assign mask_valid = valid_now;
      end else begin : g_second
        assign unused_decided    = decided_now;
        assign unused_mask_valid = valid_now;
      end
    end
    for (l = 0; l < 2 * Block; l = l + 1) begin : g_mask
      assign mask_words[16*l +: 16] = {15'd0, mask[l]};
    end
  endgenerate

  // ---- RECIP: two items of a pair, one after the other ----
  reg         second_q, recip_both_q;
  reg  [63:0] record0_q;
  wire [63:0] recip_record;
  wire        unused_recip_valid, pair_end, pair_both;
  always @(posedge clk_i) begin
    if (rst_i) second_q <= 1'b0;
    else second_q <= feed_q;
    recip_both_q <= both_q;
    record0_q    <= recip_record;
  end

  reg [95:0] item1_q;  // the reader's registers may have the next pair when this one goes in
  always @(posedge clk_i) item1_q <= item[223:128];

  vla_recip u_recip (
    .clk_i(clk_i), .rst_i(rst_i), .rsqrt_i(packet[`VLA_RECIP_FUNCTION] == `VLA_RECIP_FUNCTION_RSQRT),
    .add_i(packet[`VLA_RECIP_ADD]), .mult_i(packet[`VLA_RECIP_MULT]), .shift_i(packet[`VLA_RECIP_SHIFT]),
    .minus_i(packet[`VLA_RECIP_BIAS] == `VLA_RECIP_BIAS_MINUS_SECOND),
    .valid_i(feed_q || (second_q && recip_both_q)),
    .value_i(second_q ? item1_q[63:0] : item[63:0]), .second_i(second_q ? item1_q[95:64] : item[95:64]),
    .valid_o(unused_recip_valid), .record_o(recip_record)
  );
  vla_delay #(.Width(1), .Cycles(RecipLatency)) u_pair_both (
    .clk_i(clk_i), .data_i(recip_both_q), .data_o(pair_both)
  );
  vla_flags #(.Cycles(RecipLatency)) u_pair_end (
    .clk_i(clk_i), .rst_i(rst_i), .flag_i(second_q), .flag_o(pair_end)
  );

  wire unused_item = ^{item[255:224], item[127:96], item_valid[1]};

  // ---- writing ----
  vla_row_writer #(.Block(Block), .Aw(Aw)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .h_i(h), .m_i(m), .blocks_i(blocks),
    .base_i(base[3*Aw +: Aw]), .high_i(high[3*Aw +: Aw]), .row_stride_i(row_stride[3*Aw +: Aw]),
    .block_step_i(block_step[3*Aw +: Aw]), .wide_i(wide[3]), .items_base_i(items_out_base),
    .launch_words_i(launch && words_out && pass_last), .words_room_o(words_room),
    .launch_items_i((launch && block_last && items_out) || pair), .items_room_o(items_room), .idle_o(idle),
    .words_valid_i(result_valid_q || mask_valid), .words_i(topk ? mask_words : result),
    .items_valid_i(recip ? pair_end : item_valid[0]), .items_both_i(recip ? pair_both : items_both),
    .items_i(recip ? {64'd0, recip_record, 64'd0, record0_q}
                   : {32'd0, items[96 +: 96], 32'd0, items[0 +: 96]}),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

  generate
    if (Block != 8 && Block != 16) begin : g_check_block
      vla_bad_parameter_row_block_8_or_16 u_bad ();
    end
    if (Aw > 20 || ParamAw > 16) begin : g_check_words
      vla_bad_parameter_row_words_beyond_packet_fields u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
