// Reads groups of up to Lanes consecutive words of the activation memory over lanes that are granted one by
// one, and hands each group out whole, in order.
// Does: one group per cycle when all its lanes are granted at once.
// Does not: know whose words they are; `note` travels with the group.
// Latency: a group is on out_data_o two cycles after its last lane was granted.
// Handshake: groups in and out are ready/valid; group_ready_o depends on rd_grant_i. A group taken with
// group_skip_i is passed on without reading (its words are undefined).
`default_nettype none
module vla_word_reader #(
  parameter Block    = 16,  // B, bytes of a word
  parameter ActAw    = 17,  // bits of a word address
  parameter Lanes    = 4,   // words of a group
  parameter NoteBits = 8    // bits of a note
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // groups
  input  wire                     group_valid_i,
  output wire                     group_ready_o,
  input  wire [ActAw-1:0]         group_addr_i,
  input  wire [3:0]               group_words_i,  // 1 to Lanes
  input  wire                     group_skip_i,
  input  wire [NoteBits-1:0]      group_note_i,
  // read lanes
  output wire [Lanes-1:0]         rd_valid_o,
  output wire [Lanes*ActAw-1:0]   rd_addr_o,
  input  wire [Lanes-1:0]         rd_grant_i,
  input  wire [Lanes*8*Block-1:0] rd_data_i,
  // words
  output wire                     out_valid_o,
  input  wire                     out_ready_i,
  output wire [Lanes*8*Block-1:0] out_data_o,
  output wire [NoteBits-1:0]      out_note_o
);

  localparam WordBits = 8 * Block;
  localparam Room     = 4;  // groups between the lanes and out_ready_i

  reg [2:0]          ahead_q;  // groups in that room
  reg [Lanes-1:0]    had_q;    // lanes of this group granted before
  reg [Lanes-1:0]    fresh_q;  // lanes granted in the last cycle: their words are on rd_data_i
  reg                push_q;   // a group was completed in the last cycle
  reg [NoteBits-1:0] note_q;

  wire [Lanes-1:0] wanted;     // lanes this group uses
  wire             go       = group_valid_i && ahead_q != Room;
  wire             out_fire = out_valid_o && out_ready_i;

  assign rd_valid_o    = go && !group_skip_i ? wanted & ~had_q : {Lanes{1'b0}};
  assign group_ready_o = go && (group_skip_i || (rd_grant_i | had_q | ~wanted) == {Lanes{1'b1}});

  always @(posedge clk_i) begin
    if (rst_i) begin
      ahead_q <= 3'd0;
      had_q   <= {Lanes{1'b0}};
      fresh_q <= {Lanes{1'b0}};
      push_q  <= 1'b0;
    end else begin
      ahead_q <= ahead_q + {2'd0, group_ready_o} - {2'd0, out_fire};
      had_q   <= group_ready_o ? {Lanes{1'b0}} : had_q | (rd_valid_o & rd_grant_i);
      fresh_q <= rd_valid_o & rd_grant_i;
      push_q  <= group_ready_o;
    end
  end

  always @(posedge clk_i) begin
    note_q <= group_note_i;
  end

  wire [Lanes*WordBits-1:0] words;
  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      localparam [ActAw-1:0] Offset = g;
      reg [WordBits-1:0] word_q;  // granted earlier than the last lane of its group
      assign wanted[g] = group_words_i > g;
      assign rd_addr_o[g*ActAw +: ActAw] = group_addr_i + Offset;
      assign words[g*WordBits +: WordBits] = fresh_q[g] ? rd_data_i[g*WordBits +: WordBits] : word_q;
      always @(posedge clk_i) begin
        if (fresh_q[g]) word_q <= rd_data_i[g*WordBits +: WordBits];
      end
    end

    if (Lanes < 2 || Lanes > 8) begin : g_check
      vla_bad_parameter_word_reader_lanes_2_to_8 u_bad ();
    end
  endgenerate

  wire unused_ready;
  vla_fifo #(.Width(NoteBits + Lanes * WordBits), .Depth(Room)) u_out (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(push_q), .in_ready_o(unused_ready), .in_data_i({note_q, words}),
    .out_valid_o(out_valid_o), .out_ready_i(out_ready_i), .out_data_o({out_note_o, out_data_o})
  );

endmodule
`default_nettype wire
