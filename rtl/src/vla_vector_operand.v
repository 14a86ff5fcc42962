// A pair of read lanes that walk a region together: one operand of VEC, or the windows of every other
// output pixel of POOL.
// Does: walk jobs, read two words per cycle, give them out in steps as the walk made them, each step with
// its job's tag and the mark of the job's end.
// Does not: wait for both lanes at the memory: each runs on its own, up to 16 words ahead.
// Latency: job to first step 7 cycles when granted at once. Handshake: job and step are valid/ready.
`default_nettype none
module vla_vector_operand #(
  parameter Aw       = 17,  // address bits of the activation scratchpad
  parameter WordBits = 128, // bits of a word
  parameter TagBits  = 22   // bits of the tag that travels with a job
) (
  input  wire                  clk_i,
  input  wire                  rst_i,
  // job, as in vla_vector_walk
  input  wire                  job_valid_i,
  output wire                  job_ready_o,
  input  wire                  job_empty_i,
  input  wire [Aw-1:0]         job_origin_i,
  input  wire [Aw-1:0]         job_off_i,
  input  wire [10:0]           job_slot_i,
  input  wire [13:0]           job_w_i,
  input  wire [10:0]           job_h_i,
  input  wire [9:0]            job_blocks_i,
  input  wire [TagBits-1:0]    job_tag_i,
  // region, constant while a packet runs
  input  wire                  x_step_i,
  input  wire [Aw-1:0]         row_stride_i,
  input  wire [Aw-1:0]         pitch_i,
  input  wire [10:0]           ring_i,
  // two read lanes
  output wire [1:0]            rd_valid_o,
  output wire [2*Aw-1:0]       rd_addr_o,
  input  wire [1:0]            rd_grant_i,
  input  wire [1:0]            rd_word_i,
  input  wire [2*WordBits-1:0] rd_data_i,
  // steps with their words
  output wire                  step_valid_o,
  input  wire                  step_ready_i,
  output wire [1:0]            step_mask_o,
  output wire                  step_last_o,
  output wire [TagBits-1:0]    step_tag_o,
  output wire [2*WordBits-1:0] step_words_o
);

  wire               walk_valid, walk_last, walk_ready;
  wire [1:0]         walk_mask;
  wire [2*Aw-1:0]    walk_addr;
  wire [9:0]         left0_unused, left1_unused;
  reg  [TagBits-1:0] tag_q;

  vla_vector_walk #(.Aw(Aw)) u_walk (
    .clk_i(clk_i), .rst_i(rst_i),
    .job_valid_i(job_valid_i), .job_ready_o(job_ready_o), .job_empty_i(job_empty_i),
    .job_origin_i(job_origin_i), .job_off_i(job_off_i), .job_slot_i(job_slot_i),
    .job_w_i(job_w_i), .job_h_i(job_h_i), .job_blocks_i(job_blocks_i),
    .x_step_i(x_step_i), .row_stride_i(row_stride_i), .pitch_i(pitch_i), .ring_i(ring_i),
    .step_valid_o(walk_valid), .step_ready_i(walk_ready), .step_mask_o(walk_mask),
    .step_last_o(walk_last), .addr0_o(walk_addr[0 +: Aw]), .addr1_o(walk_addr[Aw +: Aw]),
    .left0_o(left0_unused), .left1_o(left1_unused)
  );

  always @(posedge clk_i) begin
    if (job_valid_i && job_ready_o) tag_q <= job_tag_i;
  end

  // A step enters the queue of steps and its addresses their lanes, all in one cycle.
  wire       steps_ready;
  wire [1:0] lane_ready;
  assign walk_ready = steps_ready && (&lane_ready);
  wire       push = walk_valid && walk_ready;

  wire head_valid;
  wire step_taken = step_valid_o && step_ready_i;
  vla_fifo #(.Width(TagBits + 3), .Depth(32)) u_steps (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(push), .in_ready_o(steps_ready), .in_data_i({tag_q, walk_last, walk_mask}),
    .out_valid_o(head_valid), .out_ready_i(step_taken),
    .out_data_o({step_tag_o, step_last_o, step_mask_o})
  );

  wire [1:0] word_valid;
  assign step_valid_o = head_valid && (&(word_valid | ~step_mask_o));

  genvar i;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_lane
      vla_read_lane #(.Aw(Aw), .WordBits(WordBits)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(push && walk_mask[i]), .addr_ready_o(lane_ready[i]),
        .addr_i(walk_addr[i*Aw +: Aw]),
        .rd_valid_o(rd_valid_o[i]), .rd_addr_o(rd_addr_o[i*Aw +: Aw]), .rd_grant_i(rd_grant_i[i]),
        .rd_word_i(rd_word_i[i]),
        .rd_data_i(rd_data_i[i*WordBits +: WordBits]),
        .word_valid_o(word_valid[i]), .word_ready_i(step_taken && step_mask_o[i]),
        .word_o(step_words_o[i*WordBits +: WordBits])
      );
    end
  endgenerate

endmodule
`default_nettype wire
