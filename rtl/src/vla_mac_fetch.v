// Operand fetch: the words of a step, one per pixel lane, and its weight block.
// Does: request the words of all lanes at once from the banked activation memory, hold what is not granted,
// replace padding by the zero point, read the weight word so that it arrives with the operands. A step whose
// words are all granted at once takes one cycle.
// Does not: know where the pixels lie, or order requests after a write.
// Latency: advance with the step at the lanes' outputs -> request 1 cycle -> (all granted) -> array 2 cycles.
// Handshake: advance_o moves walk, lanes and this module; it depends on the grants of the same cycle.
`default_nettype none
module vla_mac_fetch #(
  parameter Pixels   = 8,
  parameter Block    = 16,
  parameter ActAw    = 17,
  parameter WeightAw = 13
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  input  wire [7:0]                in_zero_i,
  output wire                      advance_o,
  // the step the lanes are given
  input  wire                      step_valid_i,
  input  wire                      step_first_i,
  input  wire                      step_last_i,
  input  wire                      step_empty_i,
  input  wire                      step_silent_i,
  input  wire [WeightAw-1:0]       step_weight_i,
  // the step the lanes give, one cycle later
  input  wire [Pixels*ActAw-1:0]   lane_addr_i,
  input  wire [Pixels-1:0]         lane_need_i,
  input  wire [Pixels-1:0]         lane_on_i,
  // memories
  output wire [Pixels-1:0]         op_rd_valid_o,
  output wire [Pixels*ActAw-1:0]   op_rd_addr_o,
  input  wire [Pixels-1:0]         op_rd_grant_i,
  input  wire [Pixels*8*Block-1:0] op_rd_data_i,
  output wire                      weight_rd_en_o,
  output wire [WeightAw-1:0]       weight_rd_addr_o,
  input  wire [8*Block*Block-1:0]  weight_rd_data_i,
  // the array
  output wire                      valid_o,
  output wire                      first_o,
  output wire                      last_o,
  output wire                      empty_o,
  output wire                      silent_o,
  output wire [Pixels/2-1:0]       pairs_o,
  output wire [Pixels*8*Block-1:0] activations_o,
  output wire [8*Block*Block-1:0]  weights_o,
  output wire                      conflict_o      // a step was not granted whole in this cycle
);

  localparam WordBits = 8 * Block;
  localparam Pairs    = Pixels / 2;

  // Stages of a step: at the lanes, requested, its last words arriving, in the operand registers.
  reg                valid_lane_q, valid_req_q, valid_word_q, valid_q;
  reg [3:0]          flags_lane_q, flags_req_q, flags_word_q, flags_q;  // {first, last, empty, silent}
  reg [WeightAw-1:0] weight_lane_q, weight_req_q;
  reg [Pairs-1:0]    pairs_req_q, pairs_word_q, pairs_q;

  reg [Pixels*ActAw-1:0] addr_q;
  reg [Pixels-1:0]       pending_q;   // requested, not granted yet
  reg [Pixels-1:0]       padding_q;   // lanes of the requested step that read no word
  reg [Pixels-1:0]       granted_q;   // lanes whose word arrives now
  reg [Pixels-1:0]       fill_q;      // lanes that get the zero point now

  wire [Pixels-1:0] left     = pending_q & ~op_rd_grant_i;
  wire              complete = left == {Pixels{1'b0}};
  wire              fire     = valid_req_q && complete;
  wire [Pixels-1:0] need     = valid_lane_q && !flags_lane_q[1] ? lane_need_i : {Pixels{1'b0}};

  assign advance_o        = complete;
  assign conflict_o       = valid_req_q && !complete;
  assign op_rd_valid_o    = pending_q;
  assign op_rd_addr_o     = addr_q;
  assign weight_rd_en_o   = valid_req_q && !flags_req_q[1];
  assign weight_rd_addr_o = weight_req_q;

  assign valid_o = valid_q;
  assign {first_o, last_o, empty_o, silent_o} = flags_q;
  assign pairs_o = pairs_q;

  wire [Pairs-1:0] lane_pairs;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_lane_q <= 1'b0;
      valid_req_q  <= 1'b0;
      valid_word_q <= 1'b0;
      valid_q      <= 1'b0;
      pending_q    <= {Pixels{1'b0}};
      granted_q    <= {Pixels{1'b0}};
      fill_q       <= {Pixels{1'b0}};
    end else begin
      if (complete) begin
        valid_lane_q <= step_valid_i;
        valid_req_q  <= valid_lane_q;
      end
      valid_word_q <= fire;
      valid_q      <= valid_word_q;
      pending_q    <= complete ? need : left;
      granted_q    <= pending_q & op_rd_grant_i;
      fill_q       <= fire ? padding_q : {Pixels{1'b0}};
    end
  end

  always @(posedge clk_i) begin
    if (complete) begin
      flags_lane_q  <= {step_first_i, step_last_i, step_empty_i, step_silent_i};
      weight_lane_q <= step_weight_i;
      flags_req_q   <= flags_lane_q;
      weight_req_q  <= weight_lane_q;
      pairs_req_q   <= lane_pairs;
      padding_q     <= ~lane_need_i;
      addr_q        <= lane_addr_i;
    end
    flags_word_q <= flags_req_q;
    flags_q      <= flags_word_q;
    pairs_word_q <= pairs_req_q;
    pairs_q      <= pairs_word_q;
  end

  reg [8*Block*Block-1:0] weights_q;
  assign weights_o = weights_q;
  always @(posedge clk_i) begin
    if (valid_word_q) weights_q <= weight_rd_data_i;
  end

  genvar l;
  generate
    for (l = 0; l < Pixels; l = l + 1) begin : g_lane
      reg [WordBits-1:0] word_q;
      assign activations_o[l*WordBits +: WordBits] = word_q;
      always @(posedge clk_i) begin
        if (granted_q[l]) word_q <= op_rd_data_i[l*WordBits +: WordBits];
        else if (fill_q[l]) word_q <= {Block{in_zero_i}};
      end
    end
    for (l = 0; l < Pairs; l = l + 1) begin : g_pair
      assign lane_pairs[l] = lane_on_i[2*l] || lane_on_i[2*l + 1];
    end
  endgenerate

endmodule
`default_nettype wire
