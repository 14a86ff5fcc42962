// One reader of the activation memory and several users, who take turns group by group.
// Does: pass a group of the first user, at or after the one behind the last that was served, who offers one; bring its
// words back to him. Does not: let one user's words pass another's: a user who does not take his words holds up all.
// Latency and rate: those of vla_word_reader, none added. Handshake: groups and words are ready/valid; out_data_o and
// out_note_o are shared by all users, out_valid_o says whose they are.
`default_nettype none
module vla_word_share #(
  parameter Block    = 16,  // B, bytes of a word
  parameter ActAw    = 17,  // bits of a word address
  parameter Lanes    = 4,   // words of a group
  parameter NoteBits = 8,   // bits of a note, the longest of all users
  parameter Users    = 2    // 2 to 4
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  // groups
  input  wire [Users-1:0]          group_valid_i,
  output wire [Users-1:0]          group_ready_o,
  input  wire [Users*ActAw-1:0]    group_addr_i,
  input  wire [Lanes*ActAw-1:0]    group_offsets_i,  // of user 0; the words of the others follow one another
  input  wire [Users*4-1:0]        group_words_i,
  input  wire [Users-1:0]          group_skip_i,
  input  wire [Users*NoteBits-1:0] group_note_i,
  // read lanes
  output wire [Lanes-1:0]          rd_valid_o,
  output wire [Lanes*ActAw-1:0]    rd_addr_o,
  input  wire [Lanes-1:0]          rd_grant_i,
  input  wire [Lanes-1:0]          rd_word_i,
  input  wire [Lanes*8*Block-1:0]  rd_data_i,
  // words
  output wire [Users-1:0]          out_valid_o,
  input  wire [Users-1:0]          out_ready_i,
  output wire [Lanes*8*Block-1:0]  out_data_o,
  output wire [NoteBits-1:0]       out_note_o
);

  localparam Uw        = $clog2(Users);
  localparam GroupBits = ActAw + 4 + 1 + NoteBits;

  // The first user at or after `from` who offers a group; `from` where none does.
  function [Uw-1:0] next_user;
    input [Users-1:0] valid;
    input [Uw-1:0]    from;
    integer i, u;
    begin
      next_user = from;
      for (i = Users - 1; i >= 0; i = i - 1) begin
        u = {{(32 - Uw){1'b0}}, from} + i;
        if (u >= Users) u = u - Users;
        if (valid[u[Uw-1:0]]) next_user = u[Uw-1:0];
      end
    end
  endfunction

  reg  [Uw-1:0] turn_q;  // where the search starts
  wire [Uw-1:0] user = next_user(group_valid_i, turn_q);
  wire          reader_ready;
  wire          fire = group_valid_i != {Users{1'b0}} && reader_ready;

  always @(posedge clk_i) begin
    if (rst_i) turn_q <= {Uw{1'b0}};
    else if (fire) turn_q <= user == Users[Uw-1:0] - 1'b1 ? {Uw{1'b0}} : user + 1'b1;
  end

  // The group of the user, by AND and OR.
  wire [Users*GroupBits-1:0] groups;
  reg  [GroupBits-1:0]       group;
  integer                    n;
  always @* begin
    group = {GroupBits{1'b0}};
    for (n = 0; n < Users; n = n + 1) begin
      group = group | ({GroupBits{user == n[Uw-1:0]}} & groups[n*GroupBits +: GroupBits]);
    end
  end

  wire [Lanes*ActAw-1:0] near;
  wire          word_valid;
  wire [Uw-1:0] owner;
  wire          word_ready = out_ready_i[owner];
  vla_word_reader #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes), .NoteBits(Uw + NoteBits)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(group_valid_i != {Users{1'b0}}), .group_ready_o(reader_ready),
    .group_addr_i(group[NoteBits + 5 +: ActAw]),
    .group_offsets_i(user == {Uw{1'b0}} ? group_offsets_i : near), .group_words_i(group[NoteBits + 1 +: 4]),
    .group_skip_i(group[NoteBits]), .group_note_i({user, group[NoteBits-1:0]}),
    .rd_valid_o(rd_valid_o), .rd_addr_o(rd_addr_o), .rd_grant_i(rd_grant_i), .rd_word_i(rd_word_i),
    .rd_data_i(rd_data_i),
    .out_valid_o(word_valid), .out_ready_i(word_ready), .out_data_o(out_data_o), .out_note_o({owner, out_note_o})
  );

  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      localparam [ActAw-1:0] Offset = g;
      assign near[g*ActAw +: ActAw] = Offset;
    end

    for (g = 0; g < Users; g = g + 1) begin : g_user
      assign groups[g*GroupBits +: GroupBits] = {group_addr_i[g*ActAw +: ActAw], group_words_i[g*4 +: 4], group_skip_i[g],
                                                 group_note_i[g*NoteBits +: NoteBits]};
      assign group_ready_o[g] = reader_ready && user == g;
      assign out_valid_o[g]   = word_valid && owner == g;
    end

    if (Users < 2 || Users > 4) begin : g_check
      vla_bad_parameter_word_share_users_2_to_4 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
