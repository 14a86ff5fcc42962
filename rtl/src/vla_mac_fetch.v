// Operand fetch: the words of a step, one per pixel lane, and its weight block.
// Does: queue steps; request the words of a step's lanes from the banked activation memory, all at once unless two lie
// in different rows of one bank: then the lower lane goes first; replace padding by the zero point; read the weight
// word so that it arrives with the operands. Conflicts are found before the request, so the memory refuses nothing.
// Does not: know where the pixels lie, or order requests after a write.
// Latency: step at the lanes' outputs -> queue 1 cycle -> its lanes' turn 1 cycle -> request 1 cycle -> words 3 cycles
// -> array 1 cycle. One step per cycle, one more cycle for each lane that waits for its turn.
// Handshake: advance_o, a register, moves walk, lanes and this module's first stage.
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
  input  wire [Pixels-1:0]         op_rd_word_i,
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
  output wire                      conflict_o      // a lane waited for its turn in this cycle
);

  localparam WordBits  = 8 * Block;
  localparam Pairs     = Pixels / 2;
  localparam Depth     = 4;   // steps queued
  localparam WordDelay = 4;   // cycles from the turn of a step's last lanes to their words: request, and memory
  localparam StepBits  = 4 + WeightAw + Pairs + 2 * Pixels + Pixels * ActAw;

  // ---- at the lanes, then queued ----
  reg                valid_lane_q;
  reg [3:0]          flags_lane_q;   // {first, last, empty, silent}
  reg [WeightAw-1:0] weight_lane_q;
  reg [2:0]          queued_q;
  reg                advance_q;      // there is room for one more
  wire               push = advance_q && valid_lane_q;
  wire               pop;
  wire [2:0]         queued = queued_q + {2'd0, push};

  assign advance_o = advance_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_lane_q <= 1'b0;
      queued_q     <= 3'd0;
      advance_q    <= 1'b0;
    end else begin
      if (advance_q) valid_lane_q <= step_valid_i;
      queued_q  <= queued - {2'd0, pop};
      advance_q <= queued < Depth;
    end
  end

  always @(posedge clk_i) begin
    if (advance_q) begin
      flags_lane_q  <= {step_first_i, step_last_i, step_empty_i, step_silent_i};
      weight_lane_q <= step_weight_i;
    end
  end

  wire                    next_valid, unused_ready;
  wire [3:0]              next_flags;
  wire [WeightAw-1:0]     next_weight;
  wire [Pairs-1:0]        lane_pairs, next_pairs;
  wire [Pixels-1:0]       next_need, next_padding;
  wire [Pixels*ActAw-1:0] next_addr;
  vla_fifo #(.Width(StepBits), .Depth(Depth)) u_steps (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(push), .in_ready_o(unused_ready),
    .in_data_i({flags_lane_q, weight_lane_q, lane_pairs, flags_lane_q[1] ? {Pixels{1'b0}} : lane_need_i, ~lane_need_i,
                lane_addr_i}),
    .out_valid_o(next_valid), .out_ready_i(pop),
    .out_data_o({next_flags, next_weight, next_pairs, next_need, next_padding, next_addr})
  );

  // ---- the turns of its lanes ----
  reg                     valid_q;
  reg [3:0]               flags_q;
  reg [WeightAw-1:0]      weight_q;
  reg [Pairs-1:0]         pairs_q;
  reg [Pixels*ActAw-1:0]  addr_q;
  reg [Pixels-1:0]        pending_q;   // had no turn yet
  reg [Pixels-1:0]        padding_q;   // read no word
  reg [Pixels*Pixels-1:0] clash_q;     // bit [l * Pixels + k]: lane k < l asks for another row of l's bank
  wire [Pixels*Pixels-1:0] next_clash;
  wire [Pixels-1:0]       turn;
  wire [Pixels-1:0]       left     = pending_q & ~turn;
  wire                    complete = left == {Pixels{1'b0}};
  wire                    fire     = valid_q && complete;
  assign pop        = next_valid && (!valid_q || complete);
  assign conflict_o = valid_q && !complete;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q   <= 1'b0;
      pending_q <= {Pixels{1'b0}};
    end else begin
      if (!valid_q || complete) valid_q <= next_valid;
      pending_q <= pop ? next_need : left;
    end
  end

  always @(posedge clk_i) begin
    if (pop) begin
      flags_q   <= next_flags;
      weight_q  <= next_weight;
      pairs_q   <= next_pairs;
      padding_q <= next_padding;
      addr_q    <= next_addr;
      clash_q   <= next_clash;
    end
  end

  // ---- requests ----
  reg [Pixels-1:0]       request_q;
  reg [Pixels*ActAw-1:0] request_addr_q;
  assign op_rd_valid_o = request_q;
  assign op_rd_addr_o  = request_addr_q;
  always @(posedge clk_i) begin
    request_q      <= rst_i ? {Pixels{1'b0}} : turn;
    request_addr_q <= addr_q;
  end

  // ---- the words arrive ----
  reg  [WordDelay+1:1]  fire_q;  // index k: k cycles after the step's last turn
  wire [3:0]            flags_word;
  wire [Pairs-1:0]      pairs_word;
  wire [Pixels-1:0]     padding_word;
  wire                  no_weight;  // of the step whose weight word is read now
  reg  [3:0]            flags_array_q;
  reg  [Pairs-1:0]      pairs_array_q;
  always @(posedge clk_i) begin
    fire_q        <= rst_i ? {WordDelay+1{1'b0}} : {fire_q[WordDelay:1], fire};
    flags_array_q <= flags_word;
    pairs_array_q <= pairs_word;
  end
  vla_delay #(.Width(4 + Pairs + Pixels), .Cycles(WordDelay)) u_words (
    .clk_i(clk_i), .data_i({flags_q, pairs_q, padding_q}), .data_o({flags_word, pairs_word, padding_word})
  );
  vla_delay #(.Width(1 + WeightAw), .Cycles(WordDelay - 1)) u_weight (
    .clk_i(clk_i), .data_i({flags_q[1], weight_q}), .data_o({no_weight, weight_rd_addr_o})
  );
  assign weight_rd_en_o = fire_q[WordDelay-1] && !no_weight;

  assign valid_o = fire_q[WordDelay+1];
  assign {first_o, last_o, empty_o, silent_o} = flags_array_q;
  assign pairs_o = pairs_array_q;

  reg [8*Block*Block-1:0] weights_q;
  assign weights_o = weights_q;
  always @(posedge clk_i) begin
    if (fire_q[WordDelay]) weights_q <= weight_rd_data_i;
  end

  genvar l, k;
  generate
    for (l = 0; l < Pixels; l = l + 1) begin : g_lane
      reg [WordBits-1:0] word_q;
      assign activations_o[l*WordBits +: WordBits] = word_q;
      always @(posedge clk_i) begin
        if (op_rd_word_i[l]) word_q <= op_rd_data_i[l*WordBits +: WordBits];
        else if (fire_q[WordDelay] && padding_word[l]) word_q <= {Block{in_zero_i}};
      end

      assign turn[l] = pending_q[l] && (pending_q & clash_q[l*Pixels +: Pixels]) == {Pixels{1'b0}};
      for (k = 0; k < Pixels; k = k + 1) begin : g_lower
        assign next_clash[l*Pixels + k] = k < l && next_addr[k*ActAw +: 4] == next_addr[l*ActAw +: 4]
                                          && next_addr[k*ActAw + 4 +: ActAw - 4] != next_addr[l*ActAw + 4 +: ActAw - 4];
      end
    end
    for (l = 0; l < Pairs; l = l + 1) begin : g_pair
      assign lane_pairs[l] = lane_on_i[2*l] || lane_on_i[2*l + 1];
    end
  endgenerate

endmodule
`default_nettype wire
