// Read the words of ROW, REDUCE and RECIP and give them out step by step.
// Does: per pixel pair one read of its items (where the packet has them), then per pass and block the slots of operands
// a, b, c, two slots (four words) per cycle; lanes run on their own, up to 16 words ahead. A step comes as int16 of both pixels:
// int8 is extended, an operand that is not there is 0.
// Does not: launch by itself: items_take_i and step_take_i say when what is at the head may go; what was taken is in
// registers in the next cycle.
// Latency: start to first head 9 cycles when granted at once.
`default_nettype none
module vla_row_reader #(
  parameter Block = 16,
  parameter Aw    = 17
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                start_i,
  // constants
  input  wire [10:0]         h_i,
  input  wire [15:0]         m_i,
  input  wire [9:0]          blocks_i,
  input  wire [3:0]          passes_i,
  input  wire [3*Aw-1:0]     base_i,
  input  wire [3*Aw-1:0]     high_i,
  input  wire [3*Aw-1:0]     row_stride_i,
  input  wire [3*Aw-1:0]     block_step_i,
  input  wire [2:0]          wide_i,
  input  wire [2:0]          present_i,
  input  wire [2:0]          still_i,
  input  wire [17:0]         slot_i,
  input  wire [1:0]          beat_last_i,
  input  wire                items_i,
  input  wire [Aw-1:0]       items_base_i,
  // four read lanes
  output wire [3:0]          rd_valid_o,
  output wire [4*Aw-1:0]     rd_addr_o,
  input  wire [3:0]          rd_grant_i,
  input  wire [3:0]          rd_word_i,
  input  wire [32*Block-1:0] rd_data_i,
  // a step is on its way (for who fetches other things for it)
  output wire                ahead_o,
  // the head
  output wire                items_valid_o,  // a pair's items
  input  wire                items_take_i,
  output wire                step_valid_o,   // the last words of a step
  input  wire                step_take_i,
  output wire                both_o,
  output wire                block_first_o,
  output wire                block_last_o,
  output wire                pass_last_o,
  output wire                pair_last_o,
  // what was taken
  output reg  [255:0]        item_q_o,       // 128 bits of each pixel
  output wire [32*Block-1:0] a_o,            // int16: [pixel][channel]
  output wire [32*Block-1:0] b_o,
  output wire [32*Block-1:0] c_o
);

  localparam WordBits  = 8 * Block;
  localparam ItemWords = 16 / Block;

  // ---- walk ----
  wire       valid, both, block_first, block_last, pass_last, pair_last, load, row_end, again, push;
  reg        items_q;  // the pair's items are next
  reg  [1:0] beat_q;
  wire       data      = present_i[0];
  wire       items_now = items_i && items_q;
  wire       beat_end  = items_now ? !data : beat_q == beat_last_i;
  wire       next      = push && beat_end;

  vla_row_pairs u_pairs (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start_i), .h_i(h_i), .m_i(m_i), .blocks_i(blocks_i),
    .passes_i(passes_i), .next_i(next), .valid_o(valid), .both_o(both), .block_first_o(block_first),
    .block_last_o(block_last), .pass_last_o(pass_last), .pair_last_o(pair_last), .load_o(load), .row_end_o(row_end),
    .again_o(again)
  );

  wire [3*Aw-1:0] low, high;
  genvar          o, l;
  generate
    for (o = 0; o < 3; o = o + 1) begin : g_address
      vla_row_address #(.Aw(Aw)) u_address (
        .clk_i(clk_i), .start_i(start_i), .base_i(base_i[Aw*o +: Aw]), .high_i(high_i[Aw*o +: Aw]),
        .still_i(still_i[o]), .row_stride_i(row_stride_i[Aw*o +: Aw]), .block_step_i(block_step_i[Aw*o +: Aw]),
        .load_i(load), .row_end_i(row_end), .next_i(next), .again_i(again), .low_o(low[Aw*o +: Aw]), .high_o(high[Aw*o +: Aw])
      );
    end
  endgenerate

  reg [Aw-1:0] item_addr_q;
  always @(posedge clk_i) begin
    if (start_i) beat_q <= 2'd0;
    else if (push && !items_now) beat_q <= beat_end ? 2'd0 : beat_q + 2'd1;
    if (start_i || (next && block_last)) items_q <= 1'b1;
    else if (push) items_q <= 1'b0;
    if (start_i) item_addr_q <= items_base_i;
    else if (push && items_now) item_addr_q <= item_addr_q + {{(Aw - 3){1'b0}}, pair_words(both)};
  end

  function [2:0] pair_words;
    input two;
    pair_words = two ? 2 * ItemWords[2:0] : ItemWords[2:0];
  endfunction

  // ---- two slots of a beat ----
  wire [5:0]      slots = beat_q == 2'd0 ? slot_i[5:0] : beat_q == 2'd1 ? slot_i[11:6] : slot_i[17:12];
  wire [4*Aw-1:0] data_addr;
  wire [3:0]      data_mask;
  generate
    for (l = 0; l < 2; l = l + 1) begin : g_slot
      wire [1:0]    operand  = slots[3*l + 1 +: 2];
      wire          plane    = slots[3*l];
      wire          still    = operand == 2'd1 ? still_i[1] : operand == 2'd2 && still_i[2];
      wire          wide     = operand == 2'd1 ? wide_i[1] : wide_i[2];  // of a row
      wire [Aw-1:0] low_now  = operand == 2'd0 ? low[0 +: Aw] : operand == 2'd1 ? low[Aw +: Aw] : low[2*Aw +: Aw];
      wire [Aw-1:0] high_now = operand == 2'd0 ? high[0 +: Aw] : operand == 2'd1 ? high[Aw +: Aw] : high[2*Aw +: Aw];
      wire [Aw-1:0] first    = plane ? high_now : low_now;
      assign data_addr[2*Aw*l +: Aw]      = first;
      assign data_addr[2*Aw*l + Aw +: Aw] = still ? high_now : first + 1'b1;
      assign data_mask[2*l]               = operand != 2'd3;
      assign data_mask[2*l + 1]           = operand != 2'd3 && (still ? wide : both);
    end
  endgenerate

  wire [4*Aw-1:0] item_addr;
  wire [3:0]      item_mask;
  generate
    for (l = 0; l < 4; l = l + 1) begin : g_item
      localparam [Aw-1:0] At = l;
      assign item_addr[Aw*l +: Aw] = item_addr_q + At;
      assign item_mask[l]          = l < ItemWords || (l < 2 * ItemWords && both);
    end
  endgenerate

  // ---- the queue of beats, and the lanes ----
  wire [3:0]  mask = items_now ? item_mask : data_mask;
  wire [3:0]  lane_ready, word_valid, head_mask;
  wire        beats_ready, head_valid, head_items, head_end, take;
  wire [1:0]  head_beat;
  wire [32*Block-1:0] words;

  assign push    = valid && beats_ready && (&lane_ready);
  assign ahead_o = next;

  vla_fifo #(.Width(13), .Depth(32)) u_beats (
    .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(push), .in_ready_o(beats_ready),
    .in_data_i({mask, items_now, !items_now && beat_end, beat_q, both, block_first, block_last, pass_last,
                 pair_last}),
    .out_valid_o(head_valid), .out_ready_i(take),
    .out_data_o({head_mask, head_items, head_end, head_beat, both_o, block_first_o, block_last_o, pass_last_o,
                  pair_last_o})
  );

  wire   head_whole = head_valid && (&(word_valid | ~head_mask));
  assign items_valid_o = head_whole && head_items;
  assign step_valid_o  = head_whole && head_end;
  assign take          = head_whole && (head_items ? items_take_i : !head_end || step_take_i);

  generate
    for (l = 0; l < 4; l = l + 1) begin : g_lane
      vla_read_lane #(.Aw(Aw), .WordBits(WordBits)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(push && mask[l]), .addr_ready_o(lane_ready[l]),
        .addr_i(items_now ? item_addr[Aw*l +: Aw] : data_addr[Aw*l +: Aw]),
        .rd_valid_o(rd_valid_o[l]), .rd_addr_o(rd_addr_o[Aw*l +: Aw]), .rd_grant_i(rd_grant_i[l]),
        .rd_word_i(rd_word_i[l]), .rd_data_i(rd_data_i[WordBits*l +: WordBits]),
        .word_valid_o(word_valid[l]), .word_ready_i(take && head_mask[l]), .word_o(words[WordBits*l +: WordBits])
      );
    end
  endgenerate

  // ---- keep what was taken ----
  always @(posedge clk_i) begin
    if (take && head_items) item_q_o <= words[255:0];  // lanes of the first pixel, then of the other
  end

  // From which slot of which beat a plane of an operand comes. An operand of kind row has both planes in one slot.
  wire [5:0] here = head_beat == 2'd0 ? slot_i[5:0] : head_beat == 2'd1 ? slot_i[11:6] : slot_i[17:12];
  generate
    for (o = 0; o < 3; o = o + 1) begin : g_keep
      reg [2*WordBits-1:0] low_q, high_q;  // planes of both pixels
      wire [1:0]           hit      = {here[5:4] == o, here[2:1] == o};
      wire                 low_hit  = (hit[0] && !here[0]) || (hit[1] && !here[3]);
      wire                 high_hit = (hit[0] && here[0]) || (hit[1] && here[3]);
      wire                 low_at   = !(hit[0] && !here[0]);
      wire                 high_at  = !(hit[0] && here[0]);
      wire [2*WordBits-1:0] low_two  = low_at ? words[2*WordBits +: 2*WordBits] : words[0 +: 2*WordBits];
      wire [2*WordBits-1:0] high_two = high_at ? words[2*WordBits +: 2*WordBits] : words[0 +: 2*WordBits];

      always @(posedge clk_i) begin
        if (take && !head_items) begin
          if (low_hit) low_q <= still_i[o] ? {2{low_two[0 +: WordBits]}} : low_two;
          if (still_i[o] ? low_hit : high_hit) high_q <= still_i[o] ? {2{low_two[WordBits +: WordBits]}} : high_two;
        end
      end

      wire [32*Block-1:0] value;
      for (l = 0; l < 2 * Block; l = l + 1) begin : g_value
        assign value[16*l +: 8]     = present_i[o] ? low_q[8*l +: 8] : 8'd0;
        assign value[16*l + 8 +: 8] = !present_i[o] ? 8'd0 : wide_i[o] ? high_q[8*l +: 8] : {8{low_q[8*l + 7]}};
      end
    end
  endgenerate
  assign a_o = g_keep[0].value;
  assign b_o = g_keep[1].value;
  assign c_o = g_keep[2].value;

endmodule
`default_nettype wire
