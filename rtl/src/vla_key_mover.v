// Makes weight words of activation words: B consecutive activation words are the out channels of one weight word.
// Does: cut runs of weight words into groups of activation words, and write each group to its columns when it comes.
// Does not: read the memory (a vla_word_share does), or wait for the words: it always takes them.
// Latency: a run's first group is offered in the cycle after the run was taken, a group is written two clock edges after
// it came. A group per cycle. Handshake: runs and groups are ready/valid; retire_o is high for one cycle per run, with
// its last write, with the tag of its packet.
`default_nettype none
module vla_key_mover #(
  parameter Block    = 16,  // B, bytes of an activation word
  parameter ActAw    = 17,  // bits of an activation word's address
  parameter WeightAw = 13,  // bits of a weight word's address
  parameter Lanes    = 4    // activation words of a group
) (
  input  wire                        clk_i,
  input  wire                        rst_i,
  // runs
  input  wire                        run_valid_i,
  output wire                        run_ready_o,
  input  wire [ActAw-1:0]            run_src_i,
  input  wire [WeightAw-1:0]         run_dst_i,
  input  wire [15:0]                 run_words_i,  // weight words, at least one
  input  wire                        run_tag_i,
  output reg                         retire_o,
  output reg                         retire_tag_o,
  // groups, and their words
  output wire                        group_valid_o,
  input  wire                        group_ready_i,
  output wire [ActAw-1:0]            group_addr_o,
  output wire [2+$clog2(Block/2)+WeightAw-1:0] group_note_o,
  input  wire                        word_valid_i,
  input  wire [Lanes*8*Block-1:0]    word_data_i,
  input  wire [2+$clog2(Block/2)+WeightAw-1:0] word_note_i,
  // weight memory
  output wire [Block*Block/32-1:0]   wr_en_o,
  output wire [WeightAw-1:0]         wr_addr_o,
  output wire [Lanes*8*Block-1:0]    wr_data_o
);

  localparam Groups  = Block / Lanes;      // of a weight word
  localparam Columns = Lanes * Block / 32; // of a group
  localparam Gw      = $clog2(Block/2);    // bits of a group's number, enough for any Lanes
  localparam [Gw-1:0]    LastGroup = Groups[Gw-1:0] - 1'b1;
  localparam [ActAw-1:0] Step      = Lanes[ActAw-1:0];

  reg                valid_q, tag_q;
  reg [ActAw-1:0]    src_q;
  reg [WeightAw-1:0] dst_q;
  reg [15:0]         left_q;   // weight words
  reg [Gw-1:0]       group_q;  // next group of the weight word

  wire word_end = group_q == LastGroup;
  wire last     = word_end && left_q == 16'd1;
  wire fire     = valid_q && group_ready_i;

  assign group_valid_o = valid_q;
  assign group_addr_o  = src_q;
  assign group_note_o  = {last, tag_q, group_q, dst_q};
  assign run_ready_o   = !valid_q || (last && group_ready_i);

  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 1'b0;
    else if (run_ready_o) valid_q <= run_valid_i;
  end

  always @(posedge clk_i) begin
    if (run_ready_o) begin
      tag_q   <= run_tag_i;
      src_q   <= run_src_i;
      dst_q   <= run_dst_i;
      left_q  <= run_words_i;
      group_q <= {Gw{1'b0}};
    end else if (fire) begin
      src_q   <= src_q + Step;
      group_q <= word_end ? {Gw{1'b0}} : group_q + 1'b1;
      if (word_end) dst_q  <= dst_q + 1'b1;
      if (word_end) left_q <= left_q - 16'd1;
    end
  end

  // ---- the group that came ----
  reg                     write_q;
  reg [Gw-1:0]            at_q;
  reg [WeightAw-1:0]      addr_q;
  reg [Lanes*8*Block-1:0] data_q;
  always @(posedge clk_i) begin
    write_q      <= word_valid_i && !rst_i;
    retire_o     <= word_valid_i && !rst_i && word_note_i[Gw + WeightAw + 1];
    retire_tag_o <= word_note_i[Gw + WeightAw];
    if (word_valid_i) begin
      at_q   <= word_note_i[WeightAw +: Gw];
      addr_q <= word_note_i[WeightAw-1:0];
      data_q <= word_data_i;
    end
  end

  assign wr_addr_o = addr_q;
  assign wr_data_o = data_q;

  genvar c;
  generate
    for (c = 0; c < Block * Block / 32; c = c + 1) begin : g_column
      localparam At = c / Columns;
      assign wr_en_o[c] = write_q && at_q == At[Gw-1:0];
    end

    if (Lanes < 2 || Lanes > Block || Block % Lanes != 0 || Columns < 1) begin : g_check
      vla_bad_parameter_key_mover_lanes_divide_block u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
