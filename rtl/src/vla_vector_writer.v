// Write the vector engine's results: two words per cycle, in the order of the output walk.
// Does: give each pair of results its addresses and say which of its lanes are real channels; queue up to
// 32 words per lane, the next one in registers; count what is under way so that the queues never overflow; say when the packet's last
// word is written.
// Does not: stall the pipeline: pairs are launched only while room_o is high.
// Latency: a pair is requested two cycles after pair_valid_i. Memory handshake: valid, addr and data hold
// until grant. finish_o is high from the cycle after the last grant until the next start.
`default_nettype none
module vla_vector_writer #(
  parameter Aw    = 17,  // address bits of the activation scratchpad
  parameter Block = 16   // channels of a word
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                start_i,
  // the output region, constant while a packet runs
  input  wire [Aw-1:0]       base_i,
  input  wire [Aw-1:0]       off_i,
  input  wire [10:0]         slot_i,
  input  wire [Aw-1:0]       row_stride_i,
  input  wire [Aw-1:0]       pitch_i,
  input  wire [10:0]         ring_i,
  input  wire [13:0]         w_i,
  input  wire [10:0]         h_i,
  input  wire [9:0]          blocks_i,
  input  wire signed [15:0]  padding_i,  // channels of all blocks less real channels
  // pairs
  input  wire                launch_i,   // a pair enters the pipeline
  output wire                room_o,
  input  wire                pair_next_i,   // a pair enters the last stage
  output wire [2*Block-1:0]  pair_live_o,   // its lanes that are real channels
  input  wire                pair_valid_i,  // and is there in the cycle after
  input  wire [16*Block-1:0] pair_words_i,
  // two write lanes
  output wire [1:0]          wr_valid_o,
  output wire [2*Aw-1:0]     wr_addr_o,
  output wire [16*Block-1:0] wr_data_o,
  input  wire [1:0]          wr_grant_i,
  output wire                finish_o
);

  localparam WordBits = 8 * Block;

  wire            job_ready_unused;  // the walk is idle when a packet starts
  wire            walk_valid, walk_last;
  wire [1:0]      walk_mask;
  wire [2*Aw-1:0] walk_addr;
  wire [19:0]     walk_left;

  vla_vector_walk #(.Aw(Aw)) u_walk (
    .clk_i(clk_i), .rst_i(rst_i),
    .job_valid_i(start_i), .job_ready_o(job_ready_unused), .job_empty_i(1'b0),
    .job_origin_i(base_i), .job_off_i(off_i), .job_slot_i(slot_i),
    .job_w_i(w_i), .job_h_i(h_i), .job_blocks_i(blocks_i),
    .x_step_i(1'b1), .row_stride_i(row_stride_i), .pitch_i(pitch_i), .ring_i(ring_i),
    .step_valid_o(walk_valid), .step_ready_i(pair_next_i), .step_mask_o(walk_mask),
    .step_last_o(walk_last), .addr0_o(walk_addr[0 +: Aw]), .addr1_o(walk_addr[Aw +: Aw]),
    .left0_o(walk_left[9:0]), .left1_o(walk_left[19:10])
  );

  // The lanes of a word whose channels are real.
  function [Block-1:0] live_lanes;
    input        [9:0]  left;     // blocks left, this one included
    input signed [15:0] padding;
    reg signed [15:0] live;
    begin
      live = $signed({6'd0, left} * Block[15:0]) - padding;
      live_lanes = live >= $signed(Block[15:0]) ? {Block{1'b1}}
                 : live <= 16'sd0 ? {Block{1'b0}}
                 : ~({Block{1'b1}} << live[$clog2(Block)-1:0]);
    end
  endfunction

  // The pair's addresses follow it into the last stage.
  reg  [1:0]      mask_q;
  reg  [2*Aw-1:0] addr_q;
  always @(posedge clk_i) begin
    if (pair_next_i) begin
      mask_q <= walk_mask;
      addr_q <= walk_addr;
    end
  end

  wire [1:0] empty_lane;
  genvar i;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_lane
      reg  [5:0]       used_q;  // words launched and not yet written
      wire             push  = pair_valid_i && mask_q[i];
      wire             drop  = pair_valid_i && !mask_q[i];
      wire             write = wr_valid_o[i] && wr_grant_i[i];
      wire             room_unused;  // `used_q` keeps the queue from overflowing
      wire             word_valid, word_ready;
      wire [Aw+WordBits-1:0] word;

      assign pair_live_o[Block*i +: Block] = live_lanes(walk_left[10*i +: 10], padding_i);

      vla_fifo #(.Width(Aw + WordBits), .Depth(32)) u_words (
        .clk_i(clk_i), .rst_i(rst_i),
        .in_valid_i(push), .in_ready_o(room_unused),
        .in_data_i({addr_q[i*Aw +: Aw], pair_words_i[i*WordBits +: WordBits]}),
        .out_valid_o(word_valid), .out_ready_i(word_ready), .out_data_o(word)
      );
      vla_slice #(.Width(Aw + WordBits)) u_request (
        .clk_i(clk_i), .rst_i(rst_i),
        .in_valid_i(word_valid), .in_ready_o(word_ready), .in_data_i(word),
        .out_valid_o(wr_valid_o[i]), .out_ready_i(wr_grant_i[i]),
        .out_data_o({wr_addr_o[i*Aw +: Aw], wr_data_o[i*WordBits +: WordBits]})
      );

      always @(posedge clk_i) begin
        if (rst_i) used_q <= 6'd0;
        else used_q <= used_q + {5'd0, launch_i} - {5'd0, write} - {5'd0, drop};
      end
      assign empty_lane[i] = used_q == 6'd0;
    end
  endgenerate

  reg last_q;  // the packet's last pair has arrived
  assign room_o   = !g_lane[0].used_q[5] && !g_lane[1].used_q[5];
  assign finish_o = last_q && (&empty_lane);

  always @(posedge clk_i) begin
    if (rst_i || start_i) last_q <= 1'b0;
    else if (walk_valid && pair_next_i && walk_last) last_q <= 1'b1;
  end

endmodule
`default_nettype wire
