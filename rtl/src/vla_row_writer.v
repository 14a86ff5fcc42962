// Write what ROW, REDUCE and RECIP make: words of a matrix, and items or records of pixels, on two lanes.
// Does: give each step's results their addresses, low and high plane one after the other; give each pair's items theirs;
// keep up to 64 words and 32 items per lane; count what is under way so that nothing overflows.
// Does not: stall the pipeline: who launches asks for room first. Steps of int16 results come two cycles apart.
// Latency: results in -> request 2 cycles. Lane 0 has the pair's first pixel. Memory handshake: valid, addr and data hold
// until grant. idle_o: everything launched is written.
`default_nettype none
module vla_row_writer #(
  parameter Block = 16,
  parameter Aw    = 17
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                start_i,
  // constant while a packet runs
  input  wire [10:0]         h_i,
  input  wire [15:0]         m_i,
  input  wire [9:0]          blocks_i,
  input  wire [Aw-1:0]       base_i,
  input  wire [Aw-1:0]       high_i,
  input  wire [Aw-1:0]       row_stride_i,
  input  wire [Aw-1:0]       block_step_i,
  input  wire                wide_i,
  input  wire [Aw-1:0]       items_base_i,
  // what is launched
  input  wire                launch_words_i,
  output wire                words_room_o,
  input  wire                launch_items_i,
  output wire                items_room_o,
  output wire                idle_o,
  // results of a step, int16 or int8 each: [pixel][channel]
  input  wire                words_valid_i,
  input  wire [32*Block-1:0] words_i,
  // items of a pair: 128 bits each
  input  wire                items_valid_i,
  input  wire                items_both_i,
  input  wire [255:0]        items_i,
  // write lanes
  output wire [1:0]          wr_valid_o,
  output wire [2*Aw-1:0]     wr_addr_o,
  output wire [16*Block-1:0] wr_data_o,
  input  wire [1:0]          wr_grant_i
);

  localparam       WordBits  = 8 * Block;
  localparam       ItemWords = 16 / Block;
  localparam [2:0] PerItem   = ItemWords[2:0];

  // ---- where the results go ----
  wire          unused_valid, both, unused_first, unused_last, unused_pass_last, unused_pair_last, load, row_end;
  wire          unused_again;
  wire [Aw-1:0] low, high;
  vla_row_pairs u_pairs (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start_i), .h_i(h_i), .m_i(m_i), .blocks_i(blocks_i),
    .passes_i(4'd1), .next_i(words_valid_i), .valid_o(unused_valid), .both_o(both), .block_first_o(unused_first),
    .block_last_o(unused_last), .pass_last_o(unused_pass_last), .pair_last_o(unused_pair_last), .load_o(load),
    .row_end_o(row_end), .again_o(unused_again)
  );
  vla_row_address #(.Aw(Aw)) u_address (
    .clk_i(clk_i), .start_i(start_i), .base_i(base_i), .high_i(high_i), .still_i(1'b0),
    .row_stride_i(row_stride_i), .block_step_i(block_step_i), .load_i(load), .row_end_i(row_end),
    .next_i(words_valid_i), .again_i(1'b0), .low_o(low), .high_o(high)
  );

  // ---- the high plane follows the low one ----
  reg                  high_valid_q, high_both_q;
  reg [Aw-1:0]         high_addr_q;
  reg [2*WordBits-1:0] high_words_q;
  always @(posedge clk_i) begin
    if (rst_i) high_valid_q <= 1'b0;
    else high_valid_q <= words_valid_i && wide_i;
    high_both_q <= both;
    high_addr_q <= high;
  end

  wire                 push      = words_valid_i || high_valid_q;
  wire                 push_both = high_valid_q ? high_both_q : both;
  wire [Aw-1:0]        push_addr = high_valid_q ? high_addr_q : low;
  wire [2*WordBits-1:0] low_words;
  genvar k;
  generate
    for (k = 0; k < 2 * Block; k = k + 1) begin : g_byte
      assign low_words[8*k +: 8] = words_i[16*k +: 8];
      always @(posedge clk_i) begin
        if (words_valid_i) high_words_q[8*k +: 8] <= words_i[16*k + 8 +: 8];
      end
    end
  endgenerate
  wire [2*WordBits-1:0] push_words = high_valid_q ? high_words_q : low_words;

  reg [Aw-1:0] item_addr_q;
  always @(posedge clk_i) begin
    if (start_i) item_addr_q <= items_base_i;
    else if (items_valid_i) item_addr_q <= item_addr_q + (items_both_i ? two_items({Aw{1'b0}}) : one_item({Aw{1'b0}}));
  end
  function [Aw-1:0] one_item;
    input [Aw-1:0] from;
    one_item = from + {{(Aw - 3){1'b0}}, PerItem};
  endfunction
  function [Aw-1:0] two_items;
    input [Aw-1:0] from;
    two_items = one_item(one_item(from));
  endfunction

  // ---- two lanes ----
  wire [1:0] words_room, items_room, idle;
  assign words_room_o = &words_room;
  assign items_room_o = &items_room;
  assign idle_o       = &idle;
  generate
    for (k = 0; k < 2; k = k + 1) begin : g_lane
      reg  [6:0]          words_used_q;  // launched and not yet written
      reg  [5:0]          items_used_q;
      wire                unused_words_ready, unused_items_ready;
      wire                word_valid, item_valid, item_end;
      wire [Aw-1:0]       word_addr, item_addr;
      wire [WordBits-1:0] word, item_word;
      wire                mine       = k == 0 || push_both;
      wire                mine_items = k == 0 || items_both_i;
      wire                word_out, item_out;  // written
      wire                next_ready, next_item, next_end;
      wire                word_taken = next_ready && !item_valid;
      wire                item_taken = next_ready && item_valid;

      vla_fifo #(.Width(Aw + WordBits), .Depth(64)) u_words (
        .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(push && mine), .in_ready_o(unused_words_ready),
        .in_data_i({k == 0 ? push_addr : push_addr + 1'b1, push_words[WordBits*k +: WordBits]}),
        .out_valid_o(word_valid), .out_ready_i(word_taken), .out_data_o({word_addr, word})
      );

      wire [Aw-1:0] items_addr;
      wire [127:0]  items;
      vla_fifo #(.Width(Aw + 128), .Depth(32)) u_items (
        .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(items_valid_i && mine_items), .in_ready_o(unused_items_ready),
        .in_data_i({k == 0 ? item_addr_q : one_item(item_addr_q), items_i[128*k +: 128]}),
        .out_valid_o(item_valid), .out_ready_i(item_taken && item_end), .out_data_o({items_addr, items})
      );
      if (ItemWords == 1) begin : g_whole
        assign item_end  = 1'b1;
        assign item_addr = items_addr;
        assign item_word = items[WordBits-1:0];
      end else begin : g_halves
        reg second_q;
        always @(posedge clk_i) begin
          if (rst_i) second_q <= 1'b0;
          else if (item_taken) second_q <= !second_q;
        end
        assign item_end  = second_q;
        assign item_addr = items_addr + {{(Aw - 1){1'b0}}, second_q};
        assign item_word = second_q ? items[127 -: WordBits] : items[WordBits-1:0];
      end

      vla_slice #(.Width(2 + Aw + WordBits)) u_request (
        .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(word_valid || item_valid), .in_ready_o(next_ready),
        .in_data_i({item_valid, item_end, item_valid ? item_addr : word_addr, item_valid ? item_word : word}),
        .out_valid_o(wr_valid_o[k]), .out_ready_i(wr_grant_i[k]),
        .out_data_o({next_item, next_end, wr_addr_o[Aw*k +: Aw], wr_data_o[WordBits*k +: WordBits]})
      );
      assign word_out = wr_valid_o[k] && wr_grant_i[k] && !next_item;
      assign item_out = wr_valid_o[k] && wr_grant_i[k] && next_item && next_end;

      always @(posedge clk_i) begin
        if (rst_i) begin
          words_used_q <= 7'd0;
          items_used_q <= 6'd0;
        end else begin
          words_used_q <= words_used_q + {5'd0, launch_words_i && wide_i, launch_words_i && !wide_i}
                          - {6'd0, word_out} - {6'd0, push && !mine};
          items_used_q <= items_used_q + {5'd0, launch_items_i} - {5'd0, item_out}
                          - {5'd0, items_valid_i && !mine_items};
        end
      end
      assign words_room[k] = words_used_q <= 7'd60;
      assign items_room[k] = items_used_q <= 6'd30;
      assign idle[k]       = words_used_q == 7'd0 && items_used_q == 6'd0;
    end
  endgenerate

endmodule
`default_nettype wire
